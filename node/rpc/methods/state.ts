import { z } from "zod";
import { decodeTask } from "../../../genesis/task.ts";
import type { Validator } from "../../../types/block.ts";
import { PoflError } from "../../../types/errors.ts";
import { type Address, compareBytes, type Height, toHex } from "../../../types/primitives.ts";
import { prove } from "../../../vm/proof.ts";
import type { State } from "../../../vm/state.ts";
import { validatorSet } from "../../../vm/validators.ts";
import type { NodeContext } from "../context.ts";
import { notFound } from "../errors.ts";
import { minerJson, monikerOf, taskJson } from "../json.ts";
import { type Method, method } from "../jsonrpc.ts";
import { account, accountProof, miner, task, taskSummary, validatorSetResult } from "../types.ts";
import { addressParam, hashParam, heightParam, noParams, stored } from "./params.ts";

/** Signed contributions in the latest learning block, by address. */
async function contributions(context: NodeContext, state: State): Promise<Map<string, bigint>> {
  const found = new Map<string, bigint>();
  const height = lastLearning(state);
  const learning = height > 0 ? (await context.store.block(height))?.learning[0] : undefined;
  const validators = learning ? await context.store.validators(height) : undefined;
  for (const update of learning?.result.updates ?? []) {
    const address = validators?.[update.miner]?.address;
    if (address) found.set(toHex(address), BigInt.asIntN(64, update.contribution));
  }
  return found;
}

/** Height of the latest learning block of all tasks; 0 = none yet. */
export function lastLearning(state: State): Height {
  let last = 0;
  for (const { record } of state.tasks()) last = Math.max(last, record.lastLearning);
  return last;
}

export async function validatorsOf(context: NodeContext, height: Height): Promise<readonly Validator[]> {
  const head = context.head();
  if (height === head.height + 1) return validatorSet(head.state, context.genesis);
  if (height > head.height) {
    throw new PoflError("HEIGHT_UNAVAILABLE", `validators are known up to height ${head.height + 1}`, { height });
  }
  if (height === 0) throw notFound("nobody decided genesis; validators begin at height 1");
  return stored(await context.store.validators(height), "the validators", height);
}

function accountOf(state: State, address: Address) {
  return state.account(address)?.record ?? { address, balance: 0n, nonce: 0 };
}

export function stateMethods(context: NodeContext): Record<string, Method> {
  return {
    account_get: method({
      summary: "Balance and nonce of an account at the head; zeros for one that never was credited",
      params: z.strictObject({ address: addressParam }),
      result: account,
      run: ({ address }) => {
        const { state, height } = context.head();
        const { balance, nonce } = accountOf(state, address);
        const nextNonce = context.mempool.nextNonce(address);
        return { address: toHex(address), balance: String(balance), nonce, nextNonce, height };
      },
    }),
    account_prove: method({
      summary:
        "An account with its Merkle proof against the state root in the head's header; state of earlier heights is not kept",
      params: z.strictObject({ address: addressParam, height: heightParam.optional() }),
      result: accountProof,
      run: ({ address, height }) => {
        const { state, height: head, id } = context.head();
        if (height !== undefined && height !== "latest" && height !== head) {
          throw new PoflError("HEIGHT_UNAVAILABLE", `proofs are given for the head only, which is ${head} now`, {
            head,
          });
        }
        const found = state.account(address);
        if (!found) throw notFound(`there is no account ${toHex(address)}: nobody has credited it yet`);
        const { index, record, branch } = prove(state, "accounts", found.index);
        const { balance, nonce } = found.record;
        return {
          height: head,
          headHash: toHex(id),
          stateRoot: toHex(state.root()),
          account: { address: toHex(address), balance: String(balance), nonce },
          proof: { kind: "accounts" as const, index, record: toHex(record), branch: branch.map(toHex) },
        };
      },
    }),
    miner_list: method({
      summary: "Every registered miner, bonded or not, in order of registration",
      params: noParams,
      result: z.array(miner),
      run: async () => {
        const { state } = context.head();
        const gave = await contributions(context, state);
        return Array.from(state.miners(), ({ record }) => minerJson(record, gave.get(toHex(record.address))));
      },
    }),
    miner_get: method({
      summary: "A registered miner",
      params: z.strictObject({ address: addressParam }),
      result: miner,
      run: async ({ address }) => {
        const { state } = context.head();
        const found = state.miner(address)?.record;
        if (!found) throw notFound(`${toHex(address)} is not registered as a miner`);
        return minerJson(found, (await contributions(context, state)).get(toHex(address)));
      },
    }),
    validator_set: method({
      summary: "Who decides a height, by index; the next height if none is given",
      params: z.strictObject({ height: heightParam.optional() }),
      result: validatorSetResult,
      run: async ({ height: asked }) => {
        const { state, height: head } = context.head();
        const height = asked === undefined ? head + 1 : asked === "latest" ? head : asked;
        const validators = await validatorsOf(context, height);
        return {
          height,
          power: String(validators.reduce((sum, v) => sum + v.power, 0n)),
          validators: validators.map((v, index) => ({
            index,
            address: toHex(v.address),
            moniker: monikerOf(state.miner(v.address)?.record),
            institution: toHex(v.institution),
            consensusKey: toHex(v.consensusKey),
            vrfKey: toHex(v.vrfKey),
            power: String(v.power),
            committeeWeight: String(v.committeeWeight),
          })),
        };
      },
    }),
    task_list: method({
      summary: "Every task, in order of publication",
      params: noParams,
      result: z.array(taskSummary),
      run: () => Array.from(context.head().state.tasks(), ({ record }) => taskJson(record)),
    }),
    task_get: method({
      summary: "A task with its specification; the active one, else the latest, if no id is given",
      params: z.strictObject({ id: hashParam.optional() }),
      result: task,
      run: ({ id }) => {
        const { state } = context.head();
        const record = taskOf(state, id);
        return {
          ...taskJson(record),
          spec: decodeTask(record.spec),
          standings: record.standings.map((s) => {
            const miner = state.minerAt(s.miner);
            return {
              miner: miner ? toHex(miner.address) : "",
              moniker: monikerOf(miner),
              credit: String(BigInt.asIntN(64, s.credit)),
              earned: String(s.earned),
            };
          }),
        };
      },
    }),
  };
}

/** The task of that id; without one the active task, else the one that ended or was published last. @throws PoflError NOT_FOUND */
export function taskOf(state: State, id: Uint8Array | undefined) {
  if (id) {
    const found = state.task(id)?.record;
    if (!found) throw notFound(`there is no task ${toHex(id)}`);
    return found;
  }
  const active = state.activeTask()?.record;
  if (active) return active;
  const all = Array.from(state.tasks(), ({ record }) => record);
  all.sort((a, b) => b.endedAt - a.endedAt || b.publishedAt - a.publishedAt || compareBytes(a.id, b.id));
  if (!all[0]) throw notFound("no task was published yet");
  return all[0];
}
