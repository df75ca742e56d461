import { mkdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { joinSidecar, type Sidecar } from "../../crypto/record.ts";
import { homePaths } from "../../node/home.ts";
import { openDatabase } from "../../node/store/database.ts";
import { type Hash, toHex } from "../../types/primitives.ts";
import { recordWorld } from "./recordworld.ts";

/** A record world that lives in a home on disk, with payloads as files: what `pofl record audit` looks at. */
export async function recordHome(dir: string) {
  const paths = homePaths(dir);
  const folder = join(paths.data, "records");
  for (const path of [join(dir, "config"), folder]) mkdirSync(path, { recursive: true });
  const world = await recordWorld(await openDatabase(paths.chain));
  writeFileSync(paths.genesis, JSON.stringify(world.context.genesis));
  writeFileSync(paths.config, "# settings\n");

  const fileOf = (id: Hash, cm: Hash) => join(folder, `${toHex(id).slice(2)}.${toHex(cm).slice(2)}`);
  const write = (id: Hash, cm: Hash, sidecar: Sidecar): string => {
    const file = fileOf(id, cm);
    writeFileSync(file, joinSidecar(sidecar));
    return file;
  };
  /** A record with its file. */
  const put = async (...args: Parameters<typeof world.put>) => {
    const made = await world.put(...args);
    return { ...made, file: write(made.label, made.value.cm, made.sidecar) };
  };
  /** An edit after which the files are as the node leaves them. */
  const edit = async (...args: Parameters<typeof world.edit>) => {
    const before = world.custody.entry(args[1]).cm;
    const asked = await world.edit(...args);
    unlinkSync(fileOf(args[1], before));
    if (asked.sidecar) write(args[1], world.custody.entry(args[1]).cm, asked.sidecar);
    return asked;
  };
  return { ...world, dir, paths, folder, fileOf, write, put, edit };
}
