import { readFile } from "node:fs/promises";
import type { InitializeHook, LoadHook, ResolveHook } from "node:module";
import { fileURLToPath } from "node:url";
import type { Edit } from "./install.ts";

/**
 * Module hooks of a simulation process. They put keyed hashes in the place of curve arithmetic, and bugs into the compiled consensus;
 * the program itself has no switch for either. Runs in Node's thread for hooks.
 */

export type HookData = {
  /** URL of the folder that holds `consensus/`, `crypto/`, `test/`, with a slash at its end. */
  readonly root: string;
  /** Replace Ed25519 and the VRF by keyed hashes. */
  readonly keyed: boolean;
  readonly edits: readonly Edit[];
};

let data: HookData;

export const initialize: InitializeHook<HookData> = (given) => {
  data = given;
};

export const resolve: ResolveHook = async (specifier, context, next) => {
  const found = await next(specifier, context);
  if (!data.keyed || !found.url.startsWith(`${data.root}crypto/`)) return found;
  const name = found.url.slice(`${data.root}crypto/`.length);
  const replaced = name === "ed25519.js" || name === "vrf.js";
  return replaced ? { ...found, url: `${data.root}test/sim/keyed/${name}` } : found;
};

export const load: LoadHook = async (url, context, next) => {
  const edits = url.startsWith(data.root) ? data.edits.filter((e) => url === data.root + e.file) : [];
  if (edits.length === 0) return next(url, context);
  let source = await readFile(fileURLToPath(url), "utf8");
  for (const { find, replace, file } of edits) {
    const [before, after, ...more] = source.split(find);
    if (before === undefined || after === undefined || more.length > 0) {
      throw new Error(
        `planted bug: ${file} must contain exactly once, and has ${more.length + 1 - Number(after === undefined)} times: ${find}`,
      );
    }
    source = before + replace + after;
  }
  return { format: "module", source, shortCircuit: true };
};
