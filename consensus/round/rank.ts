import type { Validator } from "../../types/block.ts";
import { type Address, compareBytes, type Hash } from "../../types/primitives.ts";
import { type RoundResult, UPDATE_STATUS } from "../../types/round.ts";
import { canonicalKey } from "../committee.ts";
import { compareBigints } from "./integers.ts";

/**
 * The miners whose updates entered the model, best first: by pay, then by contribution (which decides where the pool is empty),
 * then in canonical order. Rejected updates give no rank.
 * @param seed seed(h−1), as in the round
 */
export function rankMiners(result: RoundResult, validators: readonly Validator[], seed: Hash): Address[] {
  return result.updates
    .filter((u) => UPDATE_STATUS[u.status] === "accepted" || UPDATE_STATUS[u.status] === "accepted-clipped")
    .map(({ miner, pay, contribution }) => {
      const { address, institution } = validators[miner] as Validator;
      return { address, pay, contribution: BigInt.asIntN(64, contribution), key: canonicalKey(seed, institution) };
    })
    .sort(
      (a, b) =>
        compareBigints(b.pay, a.pay) || compareBigints(b.contribution, a.contribution) || compareBytes(a.key, b.key),
    )
    .map((u) => u.address);
}
