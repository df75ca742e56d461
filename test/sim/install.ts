import { register } from "node:module";
import type { HookData } from "./hook.ts";

/** Replaces a text in one compiled file; the text must be there exactly once. */
export type Edit = { readonly file: string; readonly find: string; readonly replace: string };

/**
 * Prepares this process for simulation: what is imported afterwards goes through `hook.ts`. Call it before anything of the program is
 * imported, hence from files whose static imports are Node's and types only.
 */
export function install({ keyed, edits = [] }: { keyed: boolean; edits?: readonly Edit[] }): void {
  const root = new URL("../../", import.meta.url).href;
  const data: HookData = { root, keyed, edits };
  register("./hook.js", import.meta.url, { data });
}
