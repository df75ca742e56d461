import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { AskPassword } from "../node/keyfiles.ts";
import { errorText, PoflError } from "../types/errors.ts";
import { usage } from "./failure.ts";
import { createOutput, type Output, type OutputFlags } from "./output.ts";
import { prompt } from "./prompt.ts";

/** The flags that every command takes. */
export type Globals = OutputFlags & {
  readonly home: string;
  readonly rpc: string;
  readonly debug: boolean;
  readonly passwordFile?: string;
};

export type Context = {
  readonly globals: Globals;
  readonly out: Output;
  /** A password from --password-file, POFL_PASSWORD or the terminal, in this order. */
  readonly askPassword: AskPassword;
};

export const DEFAULT_RPC = "http://127.0.0.1:26657";

export function contextOf(command: Command): Context {
  const raw = command.optsWithGlobals<Globals>();
  const globals: Globals = {
    home: resolve(raw.home ?? process.env.POFL_HOME ?? join(homedir(), ".pofl")),
    rpc: httpUrl(raw.rpc ?? process.env.POFL_RPC ?? DEFAULT_RPC),
    json: raw.json === true,
    quiet: raw.quiet === true,
    color: raw.color !== false,
    debug: raw.debug === true,
    ...(raw.passwordFile === undefined ? {} : { passwordFile: raw.passwordFile }),
  };
  return {
    globals,
    out: createOutput(globals),
    askPassword: (what) => givenPassword(globals) ?? prompt(`Password of ${what}: `),
  };
}

function httpUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw usage(`--rpc ${text}: must be a URL such as ${DEFAULT_RPC}`);
}

/** A password that needs no question; undefined when none was given. */
export function givenPassword(globals: Globals): string | undefined {
  const file = globals.passwordFile;
  if (file === undefined) return process.env.POFL_PASSWORD;
  try {
    // An editor ends the file with a line break, which is not part of the password.
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new PoflError("BAD_PASSWORD_FILE", `${file}: can't be read: ${errorText(cause)}`, { file }, { cause });
  }
}

/** A password for something new: asked twice, so that a slip of the finger does not lock a hospital out. */
export async function newPassword(globals: Globals, what: string): Promise<string> {
  const given = givenPassword(globals);
  if (given !== undefined) return given;
  const first = await prompt(`New password for ${what}: `);
  if (first !== (await prompt("The same again: "))) {
    throw new PoflError("PASSWORD_MISMATCH", "the two passwords differ; nothing was written");
  }
  return first;
}
