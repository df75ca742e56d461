import { parseArgs } from "node:util";
import { type Edit, install } from "../../sim/install.ts";
import { PLANTS } from "./plants.ts";

/** Cases of one share of all crash points; prints one JSON with counts by what was done, and what went wrong. */

const { values } = parseArgs({
  options: {
    /** Cases number N, N + OF, N + 2·OF, … */
    share: { type: "string", default: "0" },
    of: { type: "string", default: "1" },
    /** The files that are begun anew every 128 and 256 heights are so at each height. */
    cuts: { type: "boolean", default: false },
    /** A bug of plants.ts; ends at the first violation. */
    plant: { type: "string" },
  },
});
const share = Number(values.share);
const CUTS: readonly Edit[] = [
  { file: "consensus/engine/wal.js", find: "const HEIGHTS_PER_FILE = 128;", replace: "const HEIGHTS_PER_FILE = 1;" },
  { file: "consensus/signer.js", find: "const HEIGHTS_PER_CUT = 256;", replace: "const HEIGHTS_PER_CUT = 1;" },
];
const planted = values.plant === undefined ? [] : (PLANTS[values.plant] as readonly Edit[]);
install({ keyed: true, edits: [...(values.cuts ? CUTS : []), ...planted] });
const { nameOf, reference, runCase, tornBytes } = await import("./points.js");

const { world, cases } = await reference();
const counts: Record<string, number> = {};
const violations: string[] = [];
let repeated = 0;
let torn = 0;
const began = performance.now();
if (share === 0) {
  try {
    for (const points of world.points.values()) torn += tornBytes(points);
  } catch (error) {
    violations.push((error as Error).message);
  }
}
const started = performance.now();
for (const i of cases.keys()) {
  if (i % Number(values.of) !== share) continue;
  // A planted bug shows in few places: all over the heights, not one after the other. 7919 is prime, and divides no number of cases.
  const one = cases[values.plant === undefined ? i : (i * 7919) % cases.length] as (typeof cases)[number];
  if (values.plant !== undefined && violations.length > 0) break;
  const outcome = await runCase(one);
  const kind = `${one.point.op} ${one.fault.kind === "fails" ? one.fault.code : one.fault.kind}`;
  counts[kind] = (counts[kind] ?? 0) + 1;
  repeated += outcome.repeated;
  if (outcome.violation) violations.push(`${nameOf(one)}: ${outcome.violation}`);
}
console.log(
  JSON.stringify({
    runs: Object.values(counts).reduce((a, b) => a + b, 0),
    torn,
    repeated,
    tornSeconds: Math.round((started - began) / 1000),
    seconds: Math.round((performance.now() - started) / 1000),
    cases: cases.length,
    counts,
    violations,
  }),
);
process.exit(violations.length > 0 ? 1 : 0);
