import { openJournal } from "../../../node/store/journal.ts";
import { type Fault, MemoryDisk } from "./disk.ts";
import { type Plan, type Point, PointWorld } from "./world.ts";

/** Every point at which a machine can die, from a run in which none does; and what must hold after each. */

/** Heights at which a machine dies, as the proposer and as one of the others. */
export const HEIGHTS = [1, 2, 3];
export const ROLES = ["proposer", "validator"] as const;
export type Role = (typeof ROLES)[number];
/** Heights that everybody must reach after the crash, and the time for it: rounds with timeouts of seconds. */
const MORE_HEIGHTS = 2;
const PATIENCE_MS = 60_000;

export type Case = Plan & {
  readonly height: number;
  readonly role: Role;
  readonly point: Point;
};

/** A run without faults: which machine proposes at which height, and every effect of every machine. */
export async function reference(): Promise<{ readonly world: PointWorld; readonly cases: Case[] }> {
  const world = new PointWorld();
  await world.begin();
  const top = Math.max(...HEIGHTS) + 1;
  if (!(await world.run(PATIENCE_MS, () => world.machines.every((m) => m.height >= top)))) {
    throw new Error(`nothing crashed, and yet: ${world.violation ?? "it stands still"}`);
  }
  world.end();
  const cases: Case[] = [];
  for (const height of HEIGHTS) {
    const proposer = world.proposers.get(height);
    for (const role of ROLES) {
      const found = world.machines.find((m) => (m.name === proposer) === (role === "proposer"));
      if (!found) throw new Error(`height ${height} has no ${role}`);
      for (const point of world.points.get(found.name) ?? []) {
        if (point.height !== height) continue;
        for (const fault of faultsOf(point)) {
          for (const loss of LOSSES)
            cases.push({ victim: found.name, at: point.index, fault, ...loss, height, role, point });
        }
      }
    }
  }
  return { world, cases };
}

const LOSSES: readonly Pick<Plan, "loss" | "silence">[] = [
  { loss: "kill", silence: false },
  { loss: "power", silence: false },
  { loss: "power", silence: true },
];

/** What can go wrong at an effect, in full runs. A torn write stands here for all its bytes: `tornBytes` shows that they are one and the same. */
function faultsOf({ op, bytes }: Point): Fault[] {
  const faults: Fault[] = [{ kind: "before" }, { kind: "after" }];
  const fails = (code: "EIO" | "ENOSPC", done = 0): Fault => ({ kind: "fails", code, bytes: done });
  if (op === "write")
    faults.push({ kind: "torn", bytes: bytes >> 1 }, fails("ENOSPC"), fails("ENOSPC", bytes >> 1), fails("EIO"));
  if (op === "fsync") faults.push(fails("EIO"), fails("ENOSPC"));
  if (op === "create" || op === "rename" || op === "batch" || op === "blob") faults.push(fails("ENOSPC"), fails("EIO"));
  return faults;
}

export const nameOf = ({ height, role, point, fault, loss, silence }: Case): string => {
  const what =
    fault.kind === "fails" ? `${fault.code}${fault.bytes > 0 ? ` after ${fault.bytes} bytes` : ""}` : fault.kind;
  const file = point.path.slice(point.path.lastIndexOf("/") + 1);
  return `height ${height}, ${role}, effect ${point.index}: ${point.op} ${file}, ${what}, ${loss}${silence ? ", then silence" : ""}`;
};

/** Runs one case; undefined if everything holds. */
export async function runCase(
  one: Case,
): Promise<{ readonly violation: string | undefined; readonly repeated: number }> {
  const world = new PointWorld(one);
  await world.begin();
  const top = one.height + MORE_HEIGHTS;
  const reached = await world.run(PATIENCE_MS, () => world.fired && world.machines.every((m) => m.height >= top));
  const victim = world.machine(one.victim);
  if (!world.fired) world.fail(victim, "the point was never reached: the run is not the reference's");
  else if (!reached) {
    const heights = world.machines.map((m) => `${m.name} ${m.height}`).join(", ");
    world.fail(victim, `the chain does not go on: ${heights}; ends: ${victim.ends.join(", ")}`);
  } else {
    await world.compare(top);
    // Of a failed sync nobody knows what is on the disk: whoever lives on believes what may not be so.
    const ends = one.fault.kind !== "fails" || one.point.op === "fsync";
    if (ends && victim.lives !== 2) world.fail(victim, `it lived ${victim.lives} times`);
  }
  world.end();
  return { violation: world.violation, repeated: world.repeated };
}

/**
 * A write that is torn at any byte: opening the file gives what it held before the write, byte for byte, so that everything after is the run
 * in which the machine died before it. Returns how many were tried.
 * @param first only so many of the points
 * @throws Error at the first that does not
 */
export function tornBytes(points: readonly Point[], first = points.length): number {
  let tried = 0;
  for (const [i, { op, path, bytes, image, index }] of points.slice(0, first).entries()) {
    if (op !== "write" || !image || path.endsWith(".new")) continue;
    const after = written(points, i);
    if (!after) continue;
    for (let k = 1; k < bytes; k++) {
      const disk = new MemoryDisk(
        () => undefined,
        () => {},
      );
      disk.put(path, Buffer.concat([image, after.subarray(0, k)]));
      const journal = openJournal(path, disk.calls);
      journal.close();
      const same = disk.bytes(path)?.equals(image) && journal.tornBytes === k;
      if (!same)
        throw new Error(`effect ${index}: ${path} torn after ${k} of ${bytes} bytes is not what it was before`);
      tried++;
    }
  }
  return tried;
}

/** The bytes that a write appended: from the next look at the same file, which the last write before the end has not. */
function written(points: readonly Point[], at: number): Buffer | undefined {
  const { path, bytes, image } = points[at] as Point;
  const start = (image as Buffer).length;
  const next = points.slice(at + 1).find((p) => p.path === path && (p.image?.length ?? 0) >= start + bytes);
  return next?.image?.subarray(start, start + bytes);
}
