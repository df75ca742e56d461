import { readFileSync } from "node:fs";
import { join } from "node:path";
import { genesisHash, parseGenesis } from "../../genesis/genesis.ts";
import { initialModel } from "../../genesis/model.ts";
import { openBlobStore } from "../../node/store/blobs.ts";
import { openDatabase } from "../../node/store/database.ts";
import { openStore } from "../../node/store/store.ts";
import { bytesEqual, toHex } from "../../types/primitives.ts";
import { State } from "../../vm/state.ts";
import { independentRound, type PlainRound, type PlainUpdate } from "./round.ts";

/**
 * Reads the folder of a stopped node and computes the model of every height again, from the stored updates and attestations, with the
 * independent sum. Nothing of `consensus/` takes part. Only for chains that train the task of their genesis. Updates of heights at
 * which this node was away are read from the folders of `others`.
 */
export async function recheckChain(
  home: string,
  others: readonly string[] = [],
): Promise<{ rounds: number; wrong: string[] }> {
  const genesis = parseGenesis(readFileSync(join(home, "config", "genesis.json"), "utf8"));
  const task = genesis.task?.spec;
  if (!task) throw new Error("this genesis has no task");
  const path = join(home, "data", "chain");
  const store = await openStore(await openDatabase(path), {
    genesisHash: genesisHash(genesis),
    genesisState: () => State.genesis(genesis),
    path,
  });
  const stores = [home, ...others].map((folder) => openBlobStore(join(folder, "data", "blobs")));
  const find = async (root: Uint8Array) => {
    for (const blobs of stores) {
      const blob = await blobs.get(root);
      if (blob) return blob;
    }
    return undefined;
  };
  const wrong: string[] = [];
  let rounds = 0;
  const first = State.genesis(genesis);
  let model = initialModel(task, first.activeTask()?.record.id as Uint8Array);
  let medianNorm = 0n;
  let seed = first.seed;
  let past: PlainRound["past"] = [];
  const standings = new Map<string, { credit: bigint; variance: bigint }>();
  try {
    for (let height = 1; height <= store.head().height; height++) {
      const block = await store.block(height);
      const validators = await store.validators(height);
      if (!block || !validators) throw new Error(`no block ${height}`);
      const learning = block.learning[0];
      if (learning?.result.updates.some((u) => u.weight > 0n)) {
        const updates: PlainUpdate[] = [];
        for (const opening of learning.openings) {
          const owner = validators[opening.miner];
          const blob = await find(opening.blobRoot);
          if (!owner || !blob) throw new Error(`height ${height}: the update of miner ${opening.miner} is not stored`);
          const votes = [0, 0, 0, 0];
          for (const { message } of learning.attestations) {
            if (message.member === opening.miner) continue;
            const said = message.updates.find((u) => u.miner === opening.miner);
            if (said?.status === 1) votes[said.vote] = (votes[said.vote] as number) + 1;
          }
          const [, harmful, neutral, helpful] = votes as [number, number, number, number];
          updates.push({
            miner: opening.miner,
            institution: owner.institution,
            samples: opening.samples,
            blob,
            harmful,
            neutral,
            helpful,
            ...(standings.get(toHex(owner.address)) ?? { credit: 0n, variance: 0n }),
          });
        }
        const result = independentRound({
          aggregation: task.aggregation,
          scaleBits: task.model.scaleBits,
          minimumUpdates: task.rounds.minimumUpdates,
          seed,
          model,
          exponent: learning.result.exponent,
          medianNorm,
          committeeSize: Math.min(validators.length, genesis.consensus.committeeSeats),
          pool: learning.result.updates.reduce((sum, u) => sum + u.pay, 0n),
          updates,
          past,
        });
        rounds++;
        if (!result || !bytesEqual(result.modelRoot, learning.result.modelRoot)) {
          wrong.push(`height ${height}: ${result ? toHex(result.modelRoot) : "no result"}`);
        }
        if (result) {
          model = result.model;
          medianNorm = result.medianNorm;
          past = [];
          for (const line of result.lines) {
            const says = learning.result.updates.find((u) => u.miner === line.miner);
            if (BigInt.asIntN(64, says?.credit ?? 0n) !== line.credit || says?.variance !== line.variance) {
              wrong.push(`height ${height}: credit of miner ${line.miner} is ${line.credit}`);
            }
            standings.set(toHex(validators[line.miner]?.address as Uint8Array), line);
            // What was too small, too large, malformed or a duplicate is in no record.
            const { blob } = updates.find((u) => u.miner === line.miner) as PlainUpdate;
            if (line.scale > 0n) past.push({ blob, coefficient: line.weight * line.scale });
          }
        }
      }
      seed = block.header.seed;
    }
  } finally {
    await store.close();
  }
  return { rounds, wrong };
}
