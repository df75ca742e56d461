import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Chance } from "../../sim/clock.ts";
import { type Kind, makeHome, type Template } from "./home.ts";
import { look, type Seen } from "./judge.ts";
import { READ_AT_START, startWhole } from "./whole.ts";

/** Mutates every kind of file of a home, and sees that each change is detected, made good or without meaning. */

export const MUTATIONS = ["bit", "byte", "zeroed page", "truncated", "empty", "missing", "swapped", "grown"] as const;
export type Mutation = (typeof MUTATIONS)[number];
export type Verdict = "detected" | "made good" | "same meaning" | "UNDETECTED";
/** By kind of file, how often each verdict was given. */
export type Table = Map<Kind, Record<Verdict, number>>;
export type Outcome = {
  readonly table: Table;
  readonly undetected: readonly string[];
  readonly total: number;
  /** Changes that were tried on a whole node as well. */
  readonly whole: number;
};

/** How often each kind of file is changed. */
export const COUNTS: Readonly<Record<Kind, number>> = {
  "config.toml": 700,
  "genesis.json": 700,
  node_key: 400,
  validator_key: 500,
  "validator_key, sealed": 200,
  custodian_key: 300,
  account: 300,
  "last_start.json": 200,
  "custodian vault": 500,
  "custodian.sessions": 100,
  "signer.state": 600,
  "consensus.wal": 300,
  "LevelDB log": 350,
  "LevelDB table": 350,
  "LevelDB MANIFEST": 150,
  "LevelDB CURRENT": 60,
  blob: 300,
  record: 300,
};

const PAGE = 512;

/** The bytes in the file's place; undefined = no file. */
function mutate(mutation: Mutation, bytes: Buffer, other: Buffer, chance: Chance): Buffer | undefined {
  const copy = Buffer.from(bytes);
  const at = chance.whole(0, Math.max(0, bytes.length - 1));
  switch (mutation) {
    case "bit":
      copy[at] = (copy[at] as number) ^ (1 << chance.whole(0, 7));
      return copy;
    case "byte":
      copy[at] = chance.whole(0, 255);
      return copy;
    case "zeroed page":
      return copy.fill(0, at - (at % PAGE), Math.min(copy.length, at - (at % PAGE) + PAGE));
    case "truncated":
      return copy.subarray(0, at);
    case "empty":
      return Buffer.alloc(0);
    case "missing":
      return undefined;
    case "swapped":
      return other;
    case "grown":
      return Buffer.concat([copy, Buffer.from(chance.bytes(chance.whole(1, 64)))]);
  }
}

/** Half of all mutations are flipped bits; those without a choice come seldom. */
function draw(chance: Chance): Mutation {
  const p = chance.unit();
  if (p < 0.5) return "bit";
  if (p < 0.62) return "byte";
  if (p < 0.72) return "zeroed page";
  if (p < 0.86) return "truncated";
  if (p < 0.93) return "swapped";
  if (p < 0.96) return "grown";
  return p < 0.98 ? "empty" : "missing";
}

/** Said counts if one sentence names the file, or the database that it is a file of, and what to do. */
export function judge(kind: Kind, seen: Seen, original: Seen, path: string): Verdict {
  if (seen.said.length > 0) {
    const name = kind.startsWith("LevelDB") ? /data\/chain/ : basename(path);
    return seen.said.some((text) => text.match(name) && REMEDY.test(text)) ? "detected" : "UNDETECTED";
  }
  if (seen.meaning === original.meaning) return "same meaning";
  return seen.refilled ? "made good" : "UNDETECTED";
}
const REMEDY =
  /\b(?:restore|put|move|mend|correct|delete|give|set|ask|run|fetch|fetched|pulled|catches up|taken back|written anew)\b/i;

/**
 * @param counts mutations by kind of file
 * @param seed of the chance
 * @param every so many detected changes of what is read at the start, one is tried on a whole node: it must say as much
 */
export async function corrupt(
  counts: Readonly<Partial<Record<Kind, number>>>,
  seed: number,
  every: number,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "pofl-corrupt-"));
  try {
    const trial = new Trial(await makeHome(join(folder, "home")), join(folder, "copy"), new Chance(seed), every);
    for (const [kind, count] of Object.entries(counts) as [Kind, number][]) {
      for (let done = 0; done < count; ) if (await trial.once(kind)) done++;
    }
    return trial.outcome;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function put(path: string, bytes: Buffer | undefined): void {
  if (bytes) writeFileSync(path, bytes);
  else rmSync(path);
}

class Trial {
  readonly outcome = { table: new Map() as Table, undetected: [] as string[], total: 0, whole: 0 };
  readonly #home: Template;
  readonly #copy: string;
  readonly #chance: Chance;
  readonly #every: number;
  #detected = 0;
  /** What each file means as it is. */
  readonly #whole = new Map<string, Seen>();

  constructor(home: Template, copy: string, chance: Chance, every: number) {
    this.#home = home;
    this.#copy = copy;
    this.#chance = chance;
    this.#every = every;
    cpSync(home.dir, copy, { recursive: true });
  }

  /** Changes one file of the kind, and judges. False if the change drawn leaves it as it was. */
  async once(kind: Kind): Promise<boolean> {
    const file = this.#chance.pick(this.#home.files[kind]);
    const path = join(this.#copy, file);
    const before = readFileSync(join(this.#home.dir, file));
    const others = Object.values(this.#home.files)
      .flat()
      .filter((f) => f !== file);
    const mutation = draw(this.#chance);
    const other = readFileSync(join(this.#home.dir, this.#chance.pick(others)));
    const after = mutate(mutation, before, other, this.#chance);
    if (after?.equals(before)) return false;

    this.#restore(kind, file);
    const whole = await this.#wholeOf(kind, file, path);
    put(path, after);
    let verdict: Verdict = "UNDETECTED";
    let said: string;
    try {
      const seen = await look(kind, this.#home, this.#copy, path);
      verdict = judge(kind, seen, whole, path);
      said = seen.said.join(" | ");
    } catch (error) {
      said = `thrown: ${(error as Error).stack}`;
    }
    this.#restore(kind, file);
    const atStart: readonly Kind[] = READ_AT_START;
    if (verdict === "detected" && atStart.includes(kind) && ++this.#detected % this.#every === 0) {
      said = await this.#onWhole(path, after);
      if (judge(kind, { said: [said], meaning: "", refilled: false }, whole, path) !== "detected")
        verdict = "UNDETECTED";
    }
    const { table, undetected } = this.outcome;
    const row = table.get(kind) ?? { detected: 0, "made good": 0, "same meaning": 0, UNDETECTED: 0 };
    table.set(kind, row);
    row[verdict]++;
    this.outcome.total++;
    if (verdict === "UNDETECTED") undetected.push(`${file}, ${mutation}: ${said}`);
    return true;
  }

  async #onWhole(path: string, after: Buffer | undefined): Promise<string> {
    const start = async () => {
      const said = (await startWhole(this.#copy)).join(" | ");
      rmSync(this.#copy, { recursive: true });
      cpSync(this.#home.dir, this.#copy, { recursive: true });
      return said;
    };
    const calm = this.outcome.whole > 0 ? "" : await start();
    if (calm !== "") throw new Error(`a node on the whole home warns: ${calm}`);
    this.outcome.whole++;
    put(path, after);
    return start();
  }

  /** Only what a look at this kind may have changed: copying the whole home would take most of the time. */
  #restore(kind: Kind, file: string): void {
    const changed = ["data/last_start.json", kind.startsWith("LevelDB") ? "data/chain" : file];
    for (const name of [...changed, `${file}.damaged`])
      rmSync(join(this.#copy, name), { recursive: true, force: true });
    for (const name of changed) cpSync(join(this.#home.dir, name), join(this.#copy, name), { recursive: true });
  }

  async #wholeOf(kind: Kind, file: string, path: string): Promise<Seen> {
    const key = `${kind}/${file}`;
    let seen = this.#whole.get(key);
    if (!seen) {
      seen = await look(kind, this.#home, this.#copy, path);
      if (seen.said.length > 0) throw new Error(`the whole home is refused: ${seen.said.join()}`);
      this.#whole.set(key, seen);
      this.#restore(kind, file);
    }
    return seen;
  }
}

export function printed({ table, total, whole, undetected }: Outcome): string {
  const head = ["kind of file", "mutations", "detected", "made good", "same meaning", "undetected"];
  const rows = [...table].map(([kind, r]) => [
    kind,
    ...[
      r.detected + r["made good"] + r["same meaning"] + r.UNDETECTED,
      r.detected,
      r["made good"],
      r["same meaning"],
      r.UNDETECTED,
    ].map(String),
  ]);
  const lines = [head, ...rows].map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(24) : cell.padStart(13))).join(""),
  );
  return `${lines.join("\n")}\n${total} mutations, ${whole} of them tried on a whole node too; ${undetected.length} undetected`;
}
