import type { Applied } from "../../consensus/engine/types.ts";
import { decodeMessage } from "../../consensus/messages.ts";
import { verifyVote } from "../../crypto/domain.ts";
import { blockId } from "../../types/block.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE, type SignedVote } from "../../types/vote.ts";
import { audit } from "../../vm/audit.ts";
import { type HeightLedger, type Ledger, sum } from "./ledger.ts";
import type { SimNode } from "./node.ts";
import { NIL, type Peeked, peekText } from "./peek.ts";

/**
 * The invariants. All that is judged here is what correct nodes do; the judge sees every message of everybody, which no node does, and counts
 * with code of its own.
 */

export type WatchHost = {
  readonly ledger: Ledger;
  readonly genesisHash: Hash;
  /** Consensus keys of faulty validators, hexadecimal. */
  readonly faultyKeys: ReadonlySet<string>;
  /** How many validators are faulty. */
  readonly faulty: number;
  /** Blocks that the adversary made invalid on purpose, hexadecimal without prefix. */
  readonly invalid: ReadonlySet<string>;
  /** The round in which a block says that it was built, by id. */
  readonly builtRound: ReadonlyMap<string, number>;
  fail(what: string): void;
};

type Spoken = {
  readonly said: Map<string, Uint8Array>;
  /** By height: the last precommit for a block, and the highest round spoken in. */
  readonly lock: Map<number, { round: number; blockId: string }>;
  readonly round: Map<number, number>;
  height: number;
};

const plain = (id: Uint8Array) => Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex");

export class Watch {
  readonly #host: WatchHost;
  readonly #spoken = new Map<string, Spoken>();
  /** Height → id of the block that somebody decided first. */
  readonly decided = new Map<number, string>();
  /** Rounds that decisions took, by the first decider. */
  readonly rounds: number[] = [];

  constructor(host: WatchHost) {
    this.#host = host;
  }

  #of(node: SimNode): Spoken {
    let spoken = this.#spoken.get(node.name);
    if (!spoken) {
      spoken = { said: new Map(), lock: new Map(), round: new Map(), height: 0 };
      this.#spoken.set(node.name, spoken);
    }
    return spoken;
  }

  // ---- what a correct node says ----

  /** A correct node sends a frame for the first time, or again. */
  sent(node: SimNode, frame: Uint8Array, peeked: Peeked): void {
    const run = node.engine?.run;
    if (!run) return;
    this.#host.ledger.open(run.ctx);
    if (peeked.kind === "other") this.#sentOther(node, frame);
    if (peeked.kind !== "prevote" && peeked.kind !== "precommit" && peeked.kind !== "proposal") return;
    if (peeked.height !== run.ctx.height || peeked.validator !== run.self) return;
    const spoken = this.#of(node);
    // The block beside a proposal is not part of what is signed.
    const signed = peeked.kind === "proposal" ? frame.subarray(1, 117) : frame;
    if (!this.#once(node, `${peeked.kind}/${peeked.height}/${peeked.round}`, signed)) return;
    const last = spoken.round.get(peeked.height) ?? 0;
    if (peeked.round < last) this.#fail(node, `speaks in round ${peeked.round} after round ${last}`, peeked);
    spoken.round.set(peeked.height, peeked.round);
    spoken.height = Math.max(spoken.height, peeked.height);
    this.#host.ledger.record(peeked);
    if (peeked.kind === "proposal") this.#proposed(node, peeked);
    else if (peeked.blockId !== NIL) this.#voted(node, spoken, peeked);
  }

  /** True for something new. Anything else than what was said before in the same slot is a double signature. */
  #once(node: SimNode, slot: string, bytes: Uint8Array): boolean {
    const { said } = this.#of(node);
    const before = said.get(slot);
    if (before && !bytesEqual(before, bytes)) this.#host.fail(`${node.name} signed two different messages: ${slot}`);
    if (before) return false;
    said.set(slot, bytes.slice());
    return true;
  }

  #sentOther(node: SimNode, frame: Uint8Array): void {
    const { kind, value } = decodeMessage(frame);
    const self = node.engine?.run.self;
    if (kind === "pledge" && value.message.miner === self) this.#once(node, `pledge/${value.message.height}`, frame);
    if ((kind === "closing" || kind === "attestation") && value.message.member === self) {
      this.#once(node, `${kind}/${value.message.height}`, frame);
    }
  }

  #proposed(node: SimNode, p: Peeked): void {
    const bft = node.engine?.run.bft;
    if (node.engine?.run.ctx.proposer(p.round) !== p.validator) this.#fail(node, "proposes out of turn", p);
    const valid = bft?.valid;
    if (!valid || valid.round >= p.round) return;
    // Line 16: the valid value is proposed again, with its round.
    if (plain(valid.id) !== p.blockId || p.validRound !== valid.round + 1) {
      this.#fail(node, `does not propose its valid value of round ${valid.round} again`, p);
    }
  }

  #voted(node: SimNode, spoken: Spoken, p: Peeked): void {
    const { ledger, invalid, builtRound } = this.#host;
    if (invalid.has(p.blockId)) this.#fail(node, "votes for an invalid block", p);
    const vr = p.validRound - 1;
    if (p.kind === "prevote") {
      if (!ledger.at(p.height)?.proposals.get(p.round)?.has(`${p.blockId}/${p.validRound}`)) {
        this.#fail(node, "prevotes what its proposer did not propose", p);
      }
      if (vr >= 0 && (vr >= p.round || !ledger.polka(p.height, vr, p.blockId))) {
        this.#fail(node, "prevotes without the proof-of-lock that the proposal claims", p);
      }
      if (vr < 0 && (builtRound.get(p.blockId) ?? p.round) !== p.round) {
        this.#fail(node, "prevotes as fresh what was built in another round", p);
      }
      const lock = spoken.lock.get(p.height);
      if (lock && lock.blockId !== p.blockId && vr < lock.round) {
        this.#fail(node, `prevotes against its lock of round ${lock.round} without a newer proof-of-lock`, p);
      }
      return;
    }
    if (!ledger.polka(p.height, p.round, p.blockId)) this.#fail(node, "precommits without two thirds of prevotes", p);
    spoken.lock.set(p.height, { round: p.round, blockId: p.blockId });
  }

  // ---- what a correct node is ----

  /** After every event of a correct node. */
  acted(node: SimNode): void {
    if (node.options.faulty || !node.engine) return;
    const { run } = node.engine;
    const { bft, ctx } = run;
    const known = this.#host.ledger.open(ctx);
    const { locked, valid, round, step } = bft;
    const at = `${ctx.height}/${round} ${step}`;
    if (step === "new") return;
    if ((locked?.round ?? -1) > (valid?.round ?? -1) || (valid?.round ?? -1) > round) {
      this.#host.fail(`${node.name} at ${at}: lockedRound ≤ validRound ≤ round does not hold`);
    }
    const said = this.#of(node).lock.get(ctx.height);
    if (said && step !== "decided" && (locked?.round ?? -1) < said.round) {
      this.#host.fail(
        `${node.name} at ${at}: precommitted in round ${said.round}, but is locked on round ${locked?.round}`,
      );
    }
    if (!this.#host.ledger.reachable(ctx.height, round)) {
      this.#host.fail(`${node.name} at ${at}: nothing justifies this round`);
    }
    const rounds = bft.knownRounds();
    if (step !== "decided") this.#complete(node, rounds, known, at);
    const beyond = rounds.filter((r) => r > round).length;
    const proposer = bft.proposal(round)?.message.proposer;
    if (proposer !== undefined && proposer !== ctx.proposer(round)) {
      this.#host.fail(`${node.name} at ${at}: keeps a proposal of ${proposer}, who is not on turn`);
    }
    // A correct validator sends three messages a round; a faulty one has a share for each life of this node.
    const n = ctx.validators.length;
    const spoken = round + 2;
    const most = (node.lives + 1) * (this.#host.faulty * (32 + 8 * spoken) + (4 * n + 20) * spoken);
    if (node.disk.wal.ofHeight > most) {
      this.#host.fail(`${node.name} at ${at}: has logged ${node.disk.wal.ofHeight} events of this height`);
    }
    if (beyond > 2 * ctx.validators.length) this.#host.fail(`${node.name} at ${at}: keeps ${beyond} future rounds`);
  }

  /** Rules that could fire have fired: no node sits on what it needs. Counted over the first vote of each validator. */
  #complete(node: SimNode, rounds: readonly number[], { powers, total }: HeightLedger, at: string): void {
    const run = (node.engine as NonNullable<SimNode["engine"]>).run;
    const { bft, blocks } = run;
    for (const round of rounds) {
      const prevotes = bft.votesOf(round, PREVOTE);
      const precommits = bft.votesOf(round, PRECOMMIT);
      const decided = agreed(precommits, powers, total);
      if (decided && blocks.derived(decided)) {
        this.#host.fail(`${node.name} at ${at}: holds a decision of round ${round} and does not decide`);
      }
      if (round > bft.round) {
        const here = powers.map((power, v) => (prevotes[v] || precommits[v] ? power : 0n));
        if (3n * sum(here) > total) this.#host.fail(`${node.name} at ${at}: a third is in round ${round} already`);
      }
      if (round === bft.round && bft.step !== "propose" && bft.valid?.round !== round) {
        const locking = agreed(prevotes, powers, total);
        if (locking && blocks.derived(locking)) {
          this.#host.fail(`${node.name} at ${at}: holds a proof-of-lock and does not keep its value as valid`);
        }
      }
    }
  }

  // ---- decisions ----

  /** A correct node has decided; it is about to store the block. */
  decision(node: SimNode, { certified, head }: Applied): void {
    const { ledger, genesisHash, faultyKeys, fail, invalid } = this.#host;
    const { block, commit } = certified;
    const { height } = block.header;
    const who = `${node.name} at height ${height}`;
    const id = plain(blockId(block.header));
    const first = this.decided.get(height);
    if (first === undefined) {
      this.decided.set(height, id);
      this.rounds.push(commit.round);
    } else if (first !== id) fail(`${who}: decides ${id.slice(0, 8)}, others ${first.slice(0, 8)}`);
    if (invalid.has(id)) fail(`${who}: decides an invalid block`);
    const known = ledger.at(height) ?? ledger.open((node.engine as NonNullable<SimNode["engine"]>).run.ctx);
    const signers = new Set<number>();
    for (const { validator, time, signature } of commit.signatures) {
      const message = {
        type: PRECOMMIT,
        height,
        round: commit.round,
        blockId: commit.blockId,
        validRound: 0,
        time,
        validator,
      };
      const key = known.ctx.validators[validator]?.consensusKey;
      if (key && verifyVote(genesisHash, key, { message, signature })) signers.add(validator);
    }
    if (plain(commit.blockId) !== id || commit.height !== height || !ledger.quorum(height, signers)) {
      fail(`${who}: the certificate does not hold`);
    }
    if (!bytesEqual(head.state.root(), block.header.stateRoot)) fail(`${who}: another state than the header names`);
    try {
      audit(head.state);
    } catch (error) {
      fail(`${who}: ${(error as Error).message}`);
    }
    for (const { consensusKey } of block.evidence) {
      if (!faultyKeys.has(toHex(consensusKey))) fail(`${who}: evidence names a correct node`);
    }
  }

  stored(node: SimNode, { head }: Applied): void {
    const stored = node.store?.head();
    if (stored && (stored.height !== head.height || plain(stored.id) !== plain(head.id))) {
      this.#host.fail(`${node.name}: stored another head than it decided`);
    }
  }

  /** After a start: what it spoke about before must follow from what it still has. */
  started(node: SimNode): void {
    if (node.options.faulty) return;
    const { height } = this.#of(node);
    if (node.height < height - 1) {
      this.#host.fail(`${node.name} voted at height ${height}, and has lost block ${height - 1}`);
    }
    this.acted(node);
  }

  #fail(node: SimNode, what: string, peeked: Peeked): void {
    this.#host.fail(`${node.name} ${what}: ${peekText(peeked)}`);
  }
}

/** The block, not nil, that the first votes of more than two thirds of the power are for, with one validRound. */
function agreed(
  votes: readonly (SignedVote | undefined)[],
  powers: readonly bigint[],
  total: bigint,
): Uint8Array | undefined {
  const quorum = (counts: (vote: SignedVote) => boolean) =>
    3n * sum(powers.map((power, v) => (votes[v] && counts(votes[v]) ? power : 0n))) > 2n * total;
  // Most of the time too few have voted, for whatever.
  if (!quorum(() => true)) return undefined;
  for (const vote of votes) {
    if (!vote) continue;
    const { blockId, validRound } = vote.message;
    const same = ({ message: m }: SignedVote) => m.validRound === validRound && bytesEqual(m.blockId, blockId);
    if (quorum(same)) return plain(blockId) === NIL ? undefined : blockId;
  }
  return undefined;
}
