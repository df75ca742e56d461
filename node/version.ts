import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The version in package.json, found above this file: compiled code lies one folder deeper than the sources. */
export const VERSION: string = (() => {
  for (let dir = import.meta.dirname; dir !== dirname(dir); dir = dirname(dir)) {
    try {
      const found = JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as { name?: string; version?: string };
      if (found.name === "pofl" && found.version !== undefined) return found.version;
    } catch {
      // No package.json here: look one folder up.
    }
  }
  return "0.0.0";
})();
