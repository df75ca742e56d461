import { addressOf } from "../../crypto/domain.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { createGenesis, type GenesisOptions } from "../../genesis/presets.ts";
import { parseTask, type TaskSpec } from "../../genesis/task.ts";
import { toHex } from "../../types/primitives.ts";

const filled = (n: number): Uint8Array => new Uint8Array(32).fill(n);

/** A validator from small numbers; every key of its own. */
export function validator(i: number) {
  return {
    moniker: `hospital ${i}`,
    address: toHex(addressOf(keyPair(filled(100 + i)).publicKey)),
    consensusKey: toHex(keyPair(filled(10 + i)).publicKey),
    vrfKey: toHex(keyPair(filled(30 + i)).publicKey),
    institution: toHex(filled(i)),
    stake: "1000000000",
  };
}

/** A task file with only what has no default. */
export function taskFile(): Record<string, unknown> {
  return {
    name: "heart disease",
    schema: {
      features: [
        { name: "age", kind: "number", unit: "years", min: 18, max: 100 },
        { name: "sex", kind: "binary" },
        { name: "pain", kind: "category", categories: [1, 2, 3, 4] },
      ],
      label: { name: "disease" },
    },
    model: { layers: [{ type: "dense", units: 1, activation: "sigmoid" }] },
    training: { steps: 100, batch: 4, learningRate: 0.01 },
    rounds: { maximum: 15 },
    split: { test: 0.2, validation: 0.2, seed: 1 },
  };
}

export const task = (): TaskSpec => parseTask(JSON.stringify(taskFile()));

export function options(): GenesisOptions {
  return {
    chainId: "test-1",
    genesisTime: "2026-01-31T12:00:00.000Z",
    validators: [0, 1, 2, 3].map(validator),
    accounts: [{ address: `0x${"ab".repeat(20)}`, balance: "1000000000000" }],
    task: { spec: task(), escrow: "1000000000" },
    bootnodes: ["/ip4/127.0.0.1/tcp/26656/p2p/12D3KooW"],
  };
}

export const genesis = () => createGenesis(options());

/** A deep copy in which the value at `path` is replaced, or removed with `undefined`. */
export function changed(value: unknown, path: (string | number)[], to: unknown): unknown {
  const copy = structuredClone(value);
  let at = copy as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  const last = path.at(-1) as string | number;
  if (to === undefined) delete at[last];
  else at[last] = to;
  return copy;
}
