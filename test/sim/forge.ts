import { deriveBlock } from "../../consensus/block/derive.ts";
import { decodeMessage } from "../../consensus/messages.ts";
import { addressOf, signTx } from "../../crypto/domain.ts";
import { TOKEN } from "../../genesis/presets.ts";
import { Block, blockId, type CertifiedBlock } from "../../types/block.ts";
import { evidenceOf } from "../../types/evidence.ts";
import { untypedPayload } from "../../types/tx.ts";
import type { SignedVote } from "../../types/vote.ts";
import { voteOffence } from "../../vm/offences.ts";
import type { Adversary } from "./adversary.ts";
import type { SimNode } from "./node.ts";
import { type Peeked, peek } from "./peek.ts";

/** Blocks and certificates that only a faulty validator makes. Ids are hexadecimal; `undefined` = it can't be done now. */

const plain = (id: Uint8Array) => Buffer.from(id).toString("hex");

type Part = Partial<Pick<Parameters<typeof deriveBlock>[1], "txs" | "evidence">>;

/** The proposed block with something else in it, derived as a correct proposer would: valid, if the rules allow it. */
function rederived(a: Adversary, p: Peeked, part: Part): string | undefined {
  const ctx = a.ctx(p.height);
  const bytes = a.blocks.get(p.blockId);
  if (!ctx || !bytes) return undefined;
  const block = Block.deserialize(bytes);
  const { header, txs, learning, evidence, lastCommit } = block;
  if (learning.length > 0 || header.round !== p.round) return undefined;
  const inputs = { round: p.round, builder: p.validator, vrfProof: header.vrfProof, learning: undefined, lastCommit };
  try {
    const derived = deriveBlock(ctx, { ...inputs, txs, evidence, ...part }, { from: "certificate", result: undefined });
    const id = plain(derived.id);
    a.keep(id, Block.serialize(derived.block));
    return id;
  } catch {
    return undefined;
  }
}

/** Another valid block for the same place: with a payment of its own. */
export function otherBlock(a: Adversary, bad: SimNode, p: Peeked, which: number): string | undefined {
  const keys = bad.options.keys.account;
  const sender = addressOf(keys.publicKey);
  const nonce = bad.engine?.head.state.account(sender)?.record.nonce ?? 0;
  const payload = untypedPayload({ kind: "transfer", value: { to: sender, amount: BigInt(which + 1) } });
  const tx = signTx(a.world.genesisHash, keys, { sender, nonce, fee: TOKEN, expires: 0, payload });
  return rederived(a, p, { txs: [tx] });
}

/** The proposed block with another state root: well-formed, and wrong. */
export function invalidBlock(a: Adversary, p: Peeked): string | undefined {
  const bytes = a.blocks.get(p.blockId);
  if (!bytes) return undefined;
  const block = Block.deserialize(bytes);
  block.header.stateRoot = new Uint8Array(32).fill(7);
  const id = plain(blockId(block.header));
  a.keep(id, Block.serialize(block), true);
  return id;
}

/** A block that accuses a correct validator of two votes that don't contradict each other: they are of two rounds. */
export function falseEvidence(a: Adversary, _bad: SimNode, p: Peeked): string | undefined {
  const mine = [...a.prevotes.values()].map((frame) => ({ frame, p: peek(frame) }));
  for (const x of a.chance.shuffled(mine)) {
    const y = mine.find(
      (o) =>
        o.p.validator === x.p.validator &&
        o.p.height === x.p.height &&
        o.p.round !== x.p.round &&
        o.p.blockId !== x.p.blockId,
    );
    const consensusKey = a.ctx(x.p.height)?.validators[x.p.validator]?.consensusKey;
    if (!y || !consensusKey) continue;
    const [first, second] = [voteIn(x.frame), voteIn(y.frame)];
    // Where the rules took it for an offence they would order it, too.
    const offence = voteOffence(first, second) ?? { kind: "double-vote", first, second };
    const id = rederived(a, p, { evidence: [evidenceOf(consensusKey, offence)] });
    if (id) a.world.invalid.add(id);
    return id;
  }
  return undefined;
}

function voteIn(frame: Uint8Array): SignedVote {
  return decodeMessage(frame).value as SignedVote;
}

/** A block with a certificate that is not one: too few signatures, some of them twice. */
export function forgedFinal(a: Adversary, bad: SimNode, height: number, id?: string): CertifiedBlock | undefined {
  const bytes = id === undefined ? undefined : a.blocks.get(id);
  if (!id || !bytes) return undefined;
  a.vote(bad, { type: 2, height, round: 0, blockId: id, validRound: 0 });
  const heard = [...(a.precommits.get(`${height}/${id}`) ?? new Map<number, Uint8Array>())].map(([, f]) => voteIn(f));
  const round = heard[0]?.message.round ?? 0;
  const votes = heard
    .filter((v) => v.message.round === round)
    .sort((x, y) => x.message.validator - y.message.validator);
  const used = a.chance.happens(0.5) ? votes : votes.flatMap((v) => [v, v, v]);
  const signatures = used.map((v) => ({
    validator: v.message.validator,
    time: v.message.time,
    signature: v.signature,
  }));
  const block = Block.deserialize(bytes);
  return { block, commit: { height, round, blockId: blockId(block.header), signatures } };
}
