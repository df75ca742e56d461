import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { type KrumResult, krum } from "../../consensus/round/krum.ts";
import { errorText, PoflError } from "../../types/errors.ts";
import { examples } from "../examples.ts";

/** @throws PoflError BAD_UPDATES with the file */
function krumOf(file: string): KrumResult {
  try {
    const { f, updates, ...more } = JSON.parse(readFileSync(file === "-" ? 0 : file, "utf8"));
    const unknown = Object.keys(more)[0];
    if (unknown !== undefined) throw new PoflError("BAD_UPDATES", `field "${unknown}" is unknown`);
    return krum(f, updates);
  } catch (cause) {
    throw new PoflError("BAD_UPDATES", `${file}: ${errorText(cause)}`, { file }, { cause });
  }
}

export function addKrum(program: Command): void {
  const command = program
    .command("krum")
    .description("run multi-Krum alone on integer vectors, to compare it with another implementation")
    .requiredOption("--in <FILE>", `JSON {"f": 2, "updates": [[…], …]}; - reads standard input`)
    .action((flags: { in: string }) => {
      const { scores, selected, aggregate } = krumOf(flags.in);
      // The document is the result for people too.
      process.stdout.write(`${JSON.stringify({ scores: scores.map(String), selected, aggregate })}\n`);
    });
  examples(command, [
    `echo '{"f":2,"updates":[[5,3],[1,0],[1,5],[-2,3],[2,-5],[-1,4],[1,-5]]}' | pofl krum --in -`,
    "scores 82, 63, 38, 33, 100, 27, 99",
  ]);
}
