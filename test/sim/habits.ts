import { decodeMessage, encodeMessage, type Message } from "../../consensus/messages.ts";
import { signAttestation, signProposal, signVote } from "../../crypto/domain.ts";
import { HARMFUL, HELD, NO_VOTE, NOT_HELD } from "../../types/round.ts";
import { PRECOMMIT, PREVOTE } from "../../types/vote.ts";
import type { Adversary } from "./adversary.ts";
import { falseEvidence, forgedFinal, invalidBlock, otherBlock } from "./forge.ts";
import type { SimNode } from "./node.ts";
import { NIL, type Peeked, peek } from "./peek.ts";

/** What faulty validators do: `react` adds messages, `rewrite` changes what their engine would send. */

/** A correct node has just said something. */
export function react(a: Adversary, bad: SimNode, heard: Peeked, frame: Uint8Array): void {
  if (a.has(bad, "yes-man") && a.chance.happens(0.7)) signEverything(a, bad, heard);
  if (a.has(bad, "flooder") && a.chance.happens(0.15)) flood(a, bad, heard);
  if (a.has(bad, "forger") && a.chance.happens(0.3)) forge(a, bad, heard);
  if (a.has(bad, "parrot") && heard.kind === "proposal" && a.chance.happens(0.7)) repeat(a, bad, frame);
}

/** Somebody else's proposal, again and again and without its block, faster than the block may come. */
function repeat(a: Adversary, bad: SimNode, frame: Uint8Array): void {
  const message = decodeMessage(frame);
  if (message.kind !== "proposal") return;
  const bare = encodeMessage({ kind: "proposal", value: { ...message.value, block: new Uint8Array(0) } });
  for (const { name } of a.chance.some(a.world.correct)) for (let i = 0; i < 40; i++) a.send(bad, name, bare);
}

/** Votes for every value that is known, and for nil, each to some. */
function signEverything(a: Adversary, bad: SimNode, { height, round }: Peeked): void {
  const { ledger } = a.world;
  const known = a.chance.shuffled(a.values(height)).slice(0, 3);
  const proposals = [...(ledger.at(height)?.proposals.get(round) ?? [])];
  for (const blockId of [...known, NIL]) {
    if (a.chance.happens(0.3)) continue;
    const proposed = proposals.find((p) => p.startsWith(blockId));
    const validRound = proposed ? Number(proposed.slice(65)) : 0;
    for (const type of [PREVOTE, PRECOMMIT] as const) {
      const vote = { type, height, round, blockId, validRound: type === PREVOTE ? validRound : 0 };
      const frame = a.vote(bad, vote);
      if (frame) for (const to of a.chance.some(a.world.correct)) a.send(bad, to.name, frame);
    }
  }
}

/** Much of what must not be kept: far rounds, made-up values, heights that are not on. */
function flood(a: Adversary, bad: SimNode, { height, round }: Peeked): void {
  const ctx = a.ctx(height);
  if (!ctx) return;
  const to = a.chance.pick(a.world.correct).name;
  const self = a.index(bad, ctx);
  for (let i = 0; i < 12; i++) {
    const blockId = Buffer.from(a.chance.bytes(32)).toString("hex");
    const far = round + a.chance.whole(0, a.chance.happens(0.5) ? 3 : 5000);
    const type = a.chance.happens(0.5) ? PREVOTE : PRECOMMIT;
    const frame = a.vote(bad, { type, height, round: far, blockId, validRound: 0 });
    if (frame) a.send(bad, to, frame);
    if (self >= 0 && ctx.proposer(far) === self) {
      a.send(
        bad,
        to,
        a.proposal(bad, { height, round: far, blockId, validRound: 0, proposer: self }, a.chance.bytes(40)),
      );
    }
  }
  if (!bad.engine) return;
  const status = { ...bad.engine.status(), height: height + a.chance.whole(0, 50) };
  a.say(bad, to, { kind: "status", value: status });
}

/** What nobody may believe: others' names, turns, certificates. */
function forge(a: Adversary, bad: SimNode, heard: Peeked): void {
  const { height, round, blockId } = heard;
  const ctx = a.ctx(height);
  if (!ctx) return;
  const self = a.index(bad, ctx);
  const to = a.chance.some(a.world.correct).map((n) => n.name);
  const genesisHash = a.world.genesisHash;
  const { secret } = bad.options.keys.consensus;
  switch (a.chance.whole(0, 2)) {
    case 0: {
      // A vote in everybody's name.
      const id = Buffer.from(a.chance.pick([...a.values(height), NIL]), "hex");
      const type = a.chance.happens(0.5) ? PREVOTE : PRECOMMIT;
      const victim = a.chance.pick(a.world.correct).name;
      for (let validator = 0; validator < ctx.validators.length; validator++) {
        const message = { type, height, round, blockId: id, validRound: 0, time: 0, validator };
        if (validator === self) continue;
        a.say(bad, victim, { kind: "vote", value: signVote(genesisHash, secret, message) });
      }
      return;
    }
    case 1: {
      // A proposal out of turn.
      const value = a.chance.pick(a.values(height));
      if (self < 0 || value === undefined || ctx.proposer(round) === self) return;
      const validRound = a.chance.happens(0.5) ? 0 : a.chance.whole(0, round);
      const message = { height, round, blockId: Buffer.from(value, "hex"), validRound, proposer: self };
      const proposal = signProposal(genesisHash, secret, message);
      const block = a.blocks.get(value) ?? new Uint8Array(0);
      for (const name of to) a.say(bad, name, { kind: "proposal", value: { proposal, block } });
      return;
    }
    default: {
      const value = forgedFinal(a, bad, height, blockId === NIL ? undefined : blockId);
      if (value) for (const name of to) a.say(bad, name, { kind: "final", value });
    }
  }
}

/** What leaves instead of the frame that the engine of a faulty node sends to one peer. */
export function rewrite(a: Adversary, bad: SimNode, to: string, frame: Uint8Array, peeked: Peeked): Uint8Array[] {
  if (a.has(bad, "silent") && a.chance.happens(0.6)) return [];
  // Each twin keeps to its part of the others, for a height at a time.
  if (a.has(bad, "twins") && (to.charCodeAt(to.length - 1) + peeked.height + bad.name.charCodeAt(0)) % 3 === 0)
    return [];
  if (peeked.kind === "proposal") return rewriteProposal(a, bad, to, frame, peeked);
  if (a.has(bad, "withholder") && (frame[0] === 8 || a.chance.happens(0.2))) return [];
  if (a.has(bad, "lying-attester")) return [lie(a, bad, frame)];
  if (a.has(bad, "mutator") && (peeked.kind === "prevote" || peeked.kind === "precommit") && a.chance.happens(0.4)) {
    return a.chance.happens(0.5) ? [mutated(a, bad, frame)] : [frame, mutated(a, bad, frame)];
  }
  return [frame];
}

function rewriteProposal(a: Adversary, bad: SimNode, to: string, frame: Uint8Array, p: Peeked): Uint8Array[] {
  const ctx = a.ctx(p.height);
  const self = ctx ? a.index(bad, ctx) : -1;
  // A proposal of somebody else, passed on.
  if (!ctx || p.validator !== self) return [frame];
  const again = (blockId: string, validRound: number, block?: Uint8Array) =>
    a.proposal(bad, { height: p.height, round: p.round, blockId, validRound, proposer: self }, block);
  const out: Uint8Array[] = [];
  if (a.has(bad, "equivocating-proposer") && a.chance.happens(0.6)) {
    const other = otherBlock(a, bad, p, a.chance.whole(0, 1));
    if (other) out.push(again(other, 0, a.blocks.get(other)));
  }
  if (a.has(bad, "stale-proposer") && a.chance.happens(0.6)) {
    const stale = staleValue(a, p);
    if (stale) out.push(again(stale.value, stale.validRound, a.blocks.get(stale.value)));
  }
  if (a.has(bad, "forger") && a.chance.happens(0.6)) {
    const forged = a.chance.happens(0.5) ? invalidBlock(a, p) : falseEvidence(a, bad, p);
    if (forged) out.push(again(forged, 0, a.blocks.get(forged)));
  }
  if (a.has(bad, "withholder") && a.chance.happens(0.6)) {
    if (a.chance.happens(0.5)) return [];
    out.push(again(p.blockId, p.validRound));
  }
  if (a.has(bad, "mutator") && a.chance.happens(0.3)) out.push(mutated(a, bad, frame));
  void to;
  return out.length === 0 || a.chance.happens(0.15) ? [...out, frame] : out;
}

/** A value of before: with a proof-of-lock that it had, which a later one may stand against, or with any claim. */
function staleValue(a: Adversary, { height, round }: Peeked): { value: string; validRound: number } | undefined {
  const values = a.values(height);
  if (values.length === 0) return undefined;
  const proven = values.flatMap((value) =>
    Array.from({ length: round }, (_, r) => ({ value, validRound: r + 1 })).filter(({ validRound }) =>
      a.world.ledger.polka(height, validRound - 1, value),
    ),
  );
  if (proven.length > 0 && a.chance.happens(0.5)) return a.chance.pick(proven);
  return { value: a.chance.pick(values), validRound: a.chance.happens(0.4) ? 0 : a.chance.whole(0, round) };
}

/** One field of the message is one off; signed again, mostly. */
function mutated(a: Adversary, bad: SimNode, frame: Uint8Array): Uint8Array {
  const message = decodeMessage(frame);
  if (message.kind !== "vote" && message.kind !== "proposal") return frame;
  const signed = message.kind === "vote" ? message.value : message.value.proposal;
  const fields = signed.message as Record<string, number | Uint8Array>;
  const name = a.chance.pick(Object.keys(fields));
  const value = fields[name] as number | Uint8Array;
  if (typeof value === "number") fields[name] = Math.max(0, value + (a.chance.happens(0.5) ? 1 : -1));
  else fields[name] = a.chance.happens(0.5) ? new Uint8Array(32) : a.chance.bytes(32);
  if (!a.chance.happens(0.7)) return encodeMessage(message);
  const { secret } = bad.options.keys.consensus;
  const { genesisHash } = a.world;
  let again: Message = message;
  if (message.kind === "vote") {
    const { type } = message.value.message;
    if (type !== PREVOTE && type !== PRECOMMIT) return encodeMessage(message);
    again = { kind: "vote", value: signVote(genesisHash, secret, message.value.message) };
  } else {
    const proposal = signProposal(genesisHash, secret, message.value.proposal.message);
    again = { kind: "proposal", value: { proposal, block: message.value.block } };
  }
  const bytes = encodeMessage(again);
  a.world.ledger.record(peek(bytes));
  return bytes;
}

/** Says of each update the contrary of what it knows, and that all of them do harm; shows its own update to nobody. */
function lie(a: Adversary, bad: SimNode, frame: Uint8Array): Uint8Array {
  if (frame[0] !== 6 && frame[0] !== 5) return frame;
  const message = decodeMessage(frame);
  if (message.kind === "reveal" && message.value.opening.miner === bad.engine?.run.self) {
    return encodeMessage({ kind: "reveal", value: { ...message.value, inline: new Uint8Array(0) } });
  }
  if (message.kind !== "attestation" || message.value.message.member !== bad.engine?.run.self) return frame;
  const updates = message.value.message.updates.map((u) => {
    const status = u.status === HELD && a.chance.happens(0.5) ? NOT_HELD : HELD;
    const vote = status === HELD && message.value.message.metrics.length > 0 ? HARMFUL : NO_VOTE;
    return { ...u, status, vote };
  });
  const { secret } = bad.options.keys.consensus;
  const value = signAttestation(a.world.genesisHash, secret, { ...message.value.message, updates });
  return encodeMessage({ kind: "attestation", value });
}
