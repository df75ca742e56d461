import { createInterface } from "node:readline";
import { PoflError } from "../types/errors.ts";
import { usage } from "./failure.ts";

/**
 * Asks on the terminal without showing what is typed; the question goes to stderr, since stdout may be a document.
 * @throws PoflError PASSWORD_NEEDED when there is no terminal to ask on, CANCELLED on Ctrl-C
 */
export function prompt(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (stdin.isTTY !== true) {
    const remedy = "give --password-file FILE or POFL_PASSWORD";
    throw new PoflError("PASSWORD_NEEDED", `${question.replace(/: $/, "")}: there is no terminal to ask on; ${remedy}`);
  }
  return new Promise((resolve, reject) => {
    let typed = "";
    const end = (finish: () => void) => {
      stdin.off("data", onData);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
      finish();
    };
    const onData = (chunk: Buffer) => {
      for (const key of chunk.toString("utf8")) {
        if (key === "\r" || key === "\n") return end(() => resolve(typed));
        if (key === "\u0003" || key === "\u0004") {
          return end(() => reject(new PoflError("CANCELLED", "cancelled; nothing was written")));
        }
        typed = key === "\u007f" || key === "\b" ? typed.slice(0, -1) : typed + key;
      }
    };
    stderr.write(question);
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on("data", onData);
  });
}

type Terminal = { readonly stdin: NodeJS.ReadStream; readonly stderr: NodeJS.WritableStream };

/**
 * Asks a question that only y or yes answers with true; nothing, or the end of the input, is no.
 * @throws PoflError USAGE when there is no terminal to ask on, CANCELLED on Ctrl-C
 */
export function confirm(question: string, { stdin, stderr }: Terminal = process): Promise<boolean> {
  if (stdin.isTTY !== true) throw usage("there is no terminal to ask on; say --yes if that is meant");
  const lines = createInterface({ input: stdin, output: stderr });
  return new Promise((resolve, reject) => {
    lines.once("SIGINT", () => {
      reject(new PoflError("CANCELLED", "cancelled; nothing was done"));
      lines.close();
    });
    lines.once("close", () => resolve(false));
    lines.question(`${question} [y/N] `, (answer) => {
      resolve(/^y(?:es)?$/i.test(answer.trim()));
      lines.close();
    });
  });
}
