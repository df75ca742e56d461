import { isPoflError } from "../../types/errors.ts";
import type { EngineDeps } from "./types.ts";

/**
 * A disk that refuses ends the node, whoever asked for what: it is told once, at once. What is thrown then is no PoflError, so that nobody
 * takes it for the fault of a block or of a peer.
 */
export function endingOnDiskErrors(deps: EngineDeps): EngineDeps {
  let told = false;
  const fatal = (error: unknown) => {
    if (told) return;
    told = true;
    deps.fatal(error);
  };
  const failed = (cause: unknown): never => {
    fatal(cause);
    throw new Error("the disk failed, the node stops", { cause });
  };
  const orFail = <T>(act: () => T): T => {
    try {
      return act();
    } catch (error) {
      return failed(error);
    }
  };
  const { blobs, records, wal } = deps;
  return {
    ...deps,
    fatal,
    blobs: {
      get: (root) => blobs.get(root).catch(failed),
      put: (bytes) => blobs.put(bytes).catch(failed),
    },
    records: {
      ensure: (beside) =>
        records.ensure(beside).catch((error) => {
          // No peer gave it: the disk is well.
          if (isPoflError(error, "MISSING_RECORDS")) throw error;
          return failed(error);
        }),
    },
    wal: {
      entries: wal.entries,
      append: (bytes, options) => orFail(() => wal.append(bytes, options)),
      sync: () => orFail(() => wal.sync()),
      reset: (entries) => orFail(() => wal.reset(entries)),
    },
  };
}
