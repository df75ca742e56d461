import type { Edit } from "../../sim/install.ts";

/** Small changes of the program that lose or repeat a signature after a crash: the crash points must show each of them. */
export const PLANTS: Readonly<Record<string, readonly Edit[]>> = {
  "a signature leaves before it is on the disk": [
    {
      file: "consensus/signer.js",
      find: "this.#log.append(this.#last, { sync: true });",
      replace: "this.#log.append(this.#last, { sync: false });",
    },
  ],
  "the log is not flushed before a signature": [
    { file: "consensus/engine/height.js", find: "            wal.flush();\n", replace: "" },
  ],
  "own blocks and proposals are not logged": [
    {
      file: "consensus/engine/height.js",
      find: `        if (!this.#log({ type: "block", bytes }))\n            return;\n        this.toBft({ type: "verdict", blockId: derived.id, valid: true`,
      replace: `        this.toBft({ type: "verdict", blockId: derived.id, valid: true`,
    },
    {
      file: "consensus/engine/height.js",
      find: `this.toBft({ type: "built", round, blockId: derived.id });`,
      replace: `this.#queue.push({ type: "built", round, blockId: derived.id }); this.#run();`,
    },
    {
      file: "consensus/engine/height.js",
      find: `this.#owner.wal.append({ type: "bft", event: { type: "proposal", proposal } });`,
      replace: "",
    },
  ],
  "a torn tail is kept": [
    { file: "node/store/journal.js", find: "disk.ftruncateSync(fd, contents.end);", replace: "" },
  ],
  "a failed sync is forgotten": [
    {
      file: "node/store/journal.js",
      find: "            this.failure = error;\n            throw diskError(error, this.path);\n        }\n    }\n    reset(",
      replace: "        }\n    }\n    reset(",
    },
  ],
};
