import { existsSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import type { Logger } from "pino";
import { taggedHash } from "../crypto/hash.ts";
import { createLearningService, type LearningService } from "../learning/service.ts";
import { toHex } from "../types/primitives.ts";
import type { Config } from "./config.ts";
import type { Home } from "./home.ts";

/** The trainer of this hospital's data; undefined for a node without data, which validates only. */
export async function openTrainer(home: Home, config: Config, log: Logger): Promise<LearningService | undefined> {
  const { data, split, seed, attack, accomplices } = config.learning;
  if (data === "") return undefined;
  const inHome = (path: string) => (isAbsolute(path) ? path : resolve(home.paths.dir, path));
  const file = inHome(data);
  const task = home.genesis.task?.spec;
  const named = typeof task?.split === "string" ? join(dirname(file), task.split) : undefined;
  const splitFile = split !== "" ? inHome(split) : named && existsSync(named) ? named : undefined;
  const child = log.child({ module: "learning" });
  if (attack !== "") child.warn({ attack }, "this node is set to misbehave: [learning] attack is for tests");
  return createLearningService({
    file,
    splitFile,
    // It must differ between miners, and be secret: whoever knew it could take the noise out of votes and metrics.
    seed: seed !== "" ? seed : toHex(taggedHash("pofl/learning-seed/1", home.keys.account.secret)),
    ...(attack !== "" && {
      attack,
      accomplices: accomplices.map(Number),
      participants: home.genesis.validators.length,
    }),
    ...(task && { task }),
    log: (line) => child.info(line),
  });
}
