import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Bft } from "../../consensus/bft/machine.ts";
import type { BftEvent } from "../../consensus/bft/types.ts";
import type { Offence } from "../../types/evidence.ts";
import { ZERO_HASH } from "../../types/primitives.ts";
import { PRECOMMIT, PREVOTE, type SignedProposal, type SignedVote, type VoteType } from "../../types/vote.ts";
import { accused, proposalOffence, voteOffence } from "../../vm/offences.ts";
import { Cluster, type ClusterOptions, proposal, TIMEOUTS, validators, valueId, vote } from "./bft-cluster.ts";

/** Who can be named by what was signed: never a correct node, and after a fork more than a third of the power. */

/** Every message that was sent, by its sender; unlike a node, this forgets nothing. */
class Transcript {
  readonly votes: SignedVote[][];
  readonly proposals: SignedProposal[][];

  constructor(n: number) {
    this.votes = Array.from({ length: n }, () => []);
    this.proposals = Array.from({ length: n }, () => []);
  }

  add(event: BftEvent): void {
    if (event.type === "vote") this.votes[event.vote.message.validator]?.push(event.vote);
    if (event.type === "proposal") this.proposals[event.proposal.message.proposer]?.push(event.proposal);
  }

  /** Compares all pairs. */
  offences(): Offence[] {
    return [
      ...this.votes.flatMap((own) => pairs(own, voteOffence)),
      ...this.proposals.flatMap((own) => pairs(own, proposalOffence)),
    ];
  }

  culprits(): Set<number> {
    return new Set(this.offences().map(accused));
  }
}

function pairs<T>(items: readonly T[], proves: (a: T, b: T) => Offence | undefined): Offence[] {
  return items.flatMap((a, i) => items.slice(i + 1).flatMap((b) => proves(a, b) ?? []));
}

/** A cluster in which all that correct nodes send or receive is written down. */
function recorded(options: ClusterOptions): { cluster: Cluster; transcript: Transcript } {
  const transcript = new Transcript(options.powers.length);
  const cluster = new Cluster({ ...options, sees: (event) => transcript.add(event) });
  return { cluster, transcript };
}

const isCorrect = (options: ClusterOptions, i: number) => !options.byzantine?.includes(i);

/** Shouts whatever could confuse: old proofs-of-lock, both values, nil, in any order. */
function chaos(byzantine: readonly number[], n: number): NonNullable<ClusterOptions["act"]> {
  return (c, _from, event) => {
    if (event.type !== "vote") return;
    const m = event.vote.message;
    for (const b of byzantine) {
      for (let to = 0; to < n; to++) {
        if (c.rand() < 0.5) continue;
        const id = c.rand() < 0.3 ? ZERO_HASH : m.blockId;
        const round = Math.max(0, m.round + Math.floor(c.rand() * 3) - 1);
        c.send(b, to, { type: "vote", vote: vote(m.type as VoteType, round, id, b, m.validRound - 1) });
        // As proposer it proposes old values with whatever round of a proof-of-lock comes to mind.
        if (b === m.round % n && m.blockId[0] === 1) {
          const validRound = Math.floor(c.rand() * (m.round + 1)) - 1;
          c.send(b, to, { type: "proposal", proposal: proposal(m.round, m.blockId, b, validRound) });
        }
      }
    }
  };
}

type Shape = { readonly powers: readonly number[]; readonly byzantine: readonly number[] };
const SHAPES: readonly [Shape, ...Shape[]] = [
  { powers: [1, 1, 1, 1], byzantine: [] },
  { powers: [1, 1, 1, 1], byzantine: [1] },
  { powers: [5, 3, 3, 2], byzantine: [3] },
  { powers: [1, 1, 1, 1, 1, 1, 1], byzantine: [0, 4] },
];

test("no run, whatever the network and a third of the power do, yields evidence against a correct node", () => {
  const rounds: number[] = [];
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer({ min: 1, max: 2 ** 31 }),
        shape: fc.constantFrom(...SHAPES),
        loss: fc.constantFrom(0, 0.3, 0.6),
        delay: fc.constantFrom(20, 120, 400),
      }),
      ({ seed, shape, loss, delay }) => {
        const { powers, byzantine } = shape;
        const act = chaos(byzantine, powers.length);
        const options: ClusterOptions = { powers, byzantine, seed, loss, delay, healAt: 4000, act };
        const { cluster, transcript } = recorded(options);
        cluster.run(20_000);
        rounds.push(Math.max(...cluster.nodes.map((bft) => bft?.round ?? 0)));
        const named = [...transcript.offences(), ...cluster.offences];
        for (const offence of named) {
          assert.not(isCorrect(options, accused(offence)), `${accused(offence)} is correct: ${offence.kind}`);
        }
      },
    ),
    // By the paper's lines 23 and 29 this one names a correct node, though all are correct.
    { numRuns: 500, examples: [[{ seed: 1289839839, shape: SHAPES[0], loss: 0, delay: 120 }]] },
  );
  assert.ok(rounds.filter((r) => r >= 3).length > 30, "many runs must go through several rounds");
});

const [W, X] = [valueId(1, 1), valueId(2, 2)];
const at = (type: VoteType, round: number, id: Uint8Array, from: number, validRound = -1): BftEvent => ({
  type: "vote",
  vote: vote(type, round, id, from, validRound),
});

test("a node that locked twice does not prevote what it holds on the word of an older proof-of-lock", () => {
  // The run that the paper's rule allows and that no pair of messages could tell from amnesia: W has a proof-of-lock of round 1, X one of
  // round 2 that node 3 locks on, W one of round 3 that it locks on; W comes again in round 5 with the proof of round 1.
  const set = validators([1, 1, 1, 1]);
  const bft = new Bft({ height: 1, validators: set, self: 3, proposer: (r) => r % 4, timeouts: TIMEOUTS });
  const signed: SignedVote[] = [];
  const feed = (...events: BftEvent[]) => {
    for (let event = events.shift(); event; event = events.shift()) {
      for (const effect of bft.handle(event)) {
        if (effect.type !== "vote") continue;
        const own = vote(effect.vote, effect.round, effect.blockId, 3, effect.validRound);
        signed.push(own);
        events.unshift({ type: "vote", vote: own });
      }
    }
  };
  for (const blockId of [W, X]) feed({ type: "verdict", blockId, valid: true, builtRound: blockId[2] as number });
  feed({ type: "start" }, ...[0, 1, 2].map((i) => at(PREVOTE, 1, W, i)));
  feed({ type: "proposal", proposal: proposal(2, X, 2) }, ...[0, 1].map((i) => at(PREVOTE, 2, X, i)));
  assert.equal(bft.locked, { round: 2, id: X });
  feed({ type: "timeout", kind: "precommit", round: 2 });
  feed({ type: "timeout", kind: "propose", round: 3 }, ...[0, 1, 2].map((i) => at(PREVOTE, 3, W, i, 1)));
  assert.equal(bft.locked, { round: 3, id: W });
  for (const round of [3, 4]) feed({ type: "timeout", kind: "precommit", round });
  feed({ type: "proposal", proposal: proposal(5, W, 1, 1) });
  const last = signed.at(-1)?.message;
  assert.equal([last?.type, last?.round, last?.blockId], [PREVOTE, 5, ZERO_HASH]);
  assert.equal(pairs(signed, voteOffence), []);
  // With the proof of the round that it locked in it does.
  feed({ type: "timeout", kind: "precommit", round: 5 }, { type: "proposal", proposal: proposal(6, W, 2, 3) });
  assert.equal(signed.at(-1)?.message, vote(PREVOTE, 6, W, 3, 3).message);
  assert.equal(pairs(signed, voteOffence), []);
});

/** Two groups of correct nodes that hear only themselves and the faulty ones, who tell each group what it wants to hear. */
type Fork = { id: string; groups: number[][]; byzantine: number[]; rounds: [number, number] };
const forks: Fork[] = [
  { id: "both in round 0, 4 nodes", groups: [[0], [1]], byzantine: [2, 3], rounds: [0, 0] },
  {
    id: "both in round 2, 7 nodes",
    groups: [
      [0, 1],
      [2, 3],
    ],
    byzantine: [4, 5, 6],
    rounds: [2, 2],
  },
  { id: "rounds 0 and 1, 4 nodes", groups: [[0], [1]], byzantine: [2, 3], rounds: [0, 1] },
  { id: "rounds 0 and 6, 4 nodes", groups: [[0], [1]], byzantine: [2, 3], rounds: [0, 6] },
  {
    id: "rounds 1 and 4, 7 nodes",
    groups: [
      [0, 1],
      [2, 3],
    ],
    byzantine: [4, 5, 6],
    rounds: [1, 4],
  },
];
for (const { id, groups, byzantine, rounds } of forks) {
  test(`a fork names more than a third of the power, and nobody else: ${id}`, () => {
    const n = groups.flat().length + byzantine.length;
    const set = validators(new Array<number>(n).fill(1));
    const transcript = new Transcript(n);
    const decided = new Map<number, string>();
    groups.forEach((group, g) => {
      const round = rounds[g] as number;
      // The proposer of a round is faulty, so that each side gets its own value.
      const proposer = (_: number) => byzantine[0] as number;
      const value = valueId(byzantine[0] as number, round, g);
      const nodes = group.map((self) => new Bft({ height: 1, validators: set, self, proposer, timeouts: TIMEOUTS }));
      const queue: BftEvent[] = [];
      const tell = (event: BftEvent) => {
        transcript.add(event);
        queue.push(event);
      };
      const run = () => {
        for (let event = queue.shift(); event; event = queue.shift()) {
          for (const bft of nodes) {
            for (const effect of bft.handle(event)) {
              const { self } = bft.config;
              if (effect.type === "vote") tell(at(effect.vote, effect.round, effect.blockId, self, effect.validRound));
              if (effect.type === "judge") {
                const { blockId } = effect;
                queue.push({ type: "verdict", blockId, valid: true, builtRound: blockId[2] as number });
              }
              if (effect.type === "decide") decided.set(self, Buffer.from(effect.blockId).toString("hex"));
            }
          }
        }
      };
      queue.push({ type: "start" });
      run();
      // Time passes without a proposal, until the round in which this side shall decide.
      for (let r = 0; r < round; r++) {
        for (const kind of ["propose", "prevote", "precommit"] as const) {
          queue.push({ type: "timeout", kind, round: r });
          run();
        }
      }
      tell({ type: "proposal", proposal: proposal(round, value, byzantine[0] as number) });
      run();
      for (const type of [PREVOTE, PRECOMMIT] as const) {
        for (const b of byzantine) tell(at(type, round, value, b));
        run();
      }
    });
    assert.is(new Set(decided.values()).size, 2, "the world must fork");
    assert.is(decided.size, groups.flat().length);
    const culprits = transcript.culprits();
    assert.ok(3 * culprits.size > n, `only ${[...culprits]} of ${n} are named`);
    for (const culprit of culprits) assert.ok(byzantine.includes(culprit), `${culprit} is correct`);
  });
}

test("random forks by half of the power: more than a third is named, never a correct node", () => {
  let [forked, apart] = [0, 0];
  for (let seed = 1; seed <= 800; seed++) {
    const n = seed % 2 === 0 ? 4 : 6;
    const byzantine = n === 4 ? [2, 3] : [3, 4, 5];
    const correct = Array.from({ length: n - byzantine.length }, (_, i) => i);
    // Everyone faulty backs whatever each correct node says, towards that node only; the network keeps correct nodes apart.
    const options: ClusterOptions = {
      powers: new Array<number>(n).fill(1),
      byzantine,
      seed,
      delay: 30,
      loss: 0,
      healAt: 1e9,
      apart: (from, to) => correct.includes(from) && correct.includes(to) && from !== to,
      act: (c, from, event) => {
        if (event.type !== "vote" && event.type !== "proposal") return;
        for (const b of byzantine) {
          if (event.type === "vote") {
            const m = event.vote.message;
            if (c.rand() < 0.85) c.send(b, from, at(m.type as VoteType, m.round, m.blockId, b, m.validRound - 1));
          } else {
            const m = event.proposal.message;
            c.send(b, from, at(PREVOTE, m.round, m.blockId, b, m.validRound - 1));
          }
          const m = event.type === "vote" ? event.vote.message : event.proposal.message;
          if (b === m.round % n && c.rand() < 0.7) {
            c.send(b, from, { type: "proposal", proposal: proposal(m.round, valueId(b, m.round, from), b) });
          }
        }
      },
    };
    const { cluster, transcript } = recorded(options);
    cluster.run(6_000);
    const ids = new Set(cluster.decisions.map((d) => d.id));
    const culprits = transcript.culprits();
    for (const culprit of culprits) assert.ok(byzantine.includes(culprit), `seed ${seed}: ${culprit} is correct`);
    if (ids.size < 2) continue;
    forked++;
    if (new Set(cluster.decisions.map((d) => d.round)).size > 1) apart++;
    assert.ok(3 * culprits.size > n, `seed ${seed}: a fork, but only ${[...culprits]} of ${n} are named`);
  }
  assert.ok(forked > 50 && apart > 20, `${forked} forks, ${apart} of them in two rounds`);
});

test.run();
