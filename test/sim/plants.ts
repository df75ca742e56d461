import type { Edit } from "./install.ts";

/**
 * Bugs to plant, each a small change of the compiled program that a simulation process loads: the pitfalls of Tendermint implementations, and of this
 * one. A text that is not found exactly once is an error, so that no bug is forgotten when the code moves.
 */
export type Plant = {
  readonly name: string;
  readonly what: string;
  readonly edits: readonly Edit[];
  /** Validators, where the bug does not show with four. */
  readonly n?: number;
};

const machine = (find: string, replace: string): Edit => ({ file: "consensus/bft/machine.js", find, replace });
const votes = (find: string, replace: string): Edit => ({ file: "consensus/bft/votes.js", find, replace });
const height = (find: string, replace: string): Edit => ({ file: "consensus/engine/height.js", find, replace });
const inbox = (find: string, replace: string): Edit => ({ file: "consensus/engine/inbox.js", find, replace });
const own = (find: string, replace: string): Edit => ({ file: "consensus/engine/own.js", find, replace });
/** What was signed reminds a node of a lock that it lost; a bug in the lock shows only without it. */
const unguarded = own("this.#refuseAmnesia(vote);", "");
const commit = (find: string, replace: string): Edit => ({ file: "consensus/block/commit.js", find, replace });
const engine = (find: string, replace: string): Edit => ({ file: "consensus/engine/engine.js", find, replace });

export const PLANTS: readonly Plant[] = [
  {
    name: "legacy-unlock",
    what: "two thirds of nil prevotes unlock, beside the paper's prevote of nil",
    edits: [
      unguarded,
      machine(
        "this.#precommit(ZERO_HASH);\n                    return true;",
        "this.locked = undefined; this.#precommit(ZERO_HASH); return true;",
      ),
    ],
  },
  {
    name: "no-proof-of-lock",
    what: "a proposal's claimed proof-of-lock is not looked for",
    edits: [unguarded, machine("if (validRound >= 0 && !this.#votes.get(validRound)?.polka(id))", "if (false)")],
  },
  {
    name: "no-lock-check",
    what: "prevotes whatever is valid, locked or not",
    edits: [
      unguarded,
      machine("const free = this.locked === undefined", "const free = true || this.locked === undefined"),
    ],
  },
  {
    name: "stale-proof-of-lock",
    what: "any proof-of-lock frees the lock, an older one too",
    edits: [unguarded, machine("this.locked.round <= validRound)", "true)")],
  },
  {
    name: "no-lock",
    what: "precommits without locking",
    edits: [unguarded, machine("this.locked = mark;", "")],
  },
  {
    name: "lock-lost-on-restart",
    what: "the lock is not restored after a restart",
    edits: [
      unguarded,
      height(
        "this.learning?.restore(trained);",
        "this.learning?.restore(trained); this.bft.locked = undefined; this.bft.valid = undefined;",
      ),
    ],
  },
  {
    name: "no-log",
    what: "events are not logged: a restart forgets the height in progress",
    edits: [unguarded, height('        if (!this.#log({ type: "bft", event }))\n            return;\n', "")],
  },
  {
    name: "signer-not-synced",
    what: "signed messages leave before the signer's record is on the disk",
    edits: [
      {
        file: "consensus/signer.js",
        find: "this.#log.append(this.#last, { sync: true });",
        replace: "this.#log.append(this.#last, { sync: false });",
      },
    ],
  },
  {
    name: "log-not-flushed",
    what: "the log is not flushed before a signature: what led to it may be lost",
    edits: [unguarded, height("wal.flush();", "")],
  },
  {
    name: "signs-again",
    what: "votes bypass the guard: the same vote is signed anew after a restart",
    edits: [
      own(
        "this.#guard.once(kind, message.height, message.round, (earlier)",
        "((_kind, _height, _round, _same, sign) => sign())(kind, message.height, message.round, (earlier)",
      ),
    ],
  },
  {
    name: "second-value",
    what: "the built block is not logged and proposals bypass the guard: a second value is proposed after a restart",
    edits: [
      height(
        '        // Logged before it is proposed: a second value after a restart would be an equivocation.\n        if (!this.#log({ type: "block", bytes }))\n            return;',
        "",
      ),
      height(
        'this.toBft({ type: "built", round, blockId: derived.id });',
        'this.#queue.push({ type: "built", round, blockId: derived.id }); this.#run();',
      ),
      height('this.#owner.wal.append({ type: "bft", event: { type: "proposal", proposal } });', ""),
      own(
        'this.#guard.once("proposal", message.height, message.round, (earlier)',
        '((_kind, _height, _round, _same, sign) => sign())("proposal", message.height, message.round, (earlier)',
      ),
    ],
  },
  {
    name: "precommits-across-rounds",
    what: "precommits of different rounds are added up",
    edits: [
      machine(
        "const id = votes.agreed(PRECOMMIT);",
        `let id = votes.agreed(PRECOMMIT);
            const all = new Map();
            for (const v of this.#votes.values()) for (const p of v.votes(PRECOMMIT)) if (p && !isNil(p.message.blockId)) all.set(p.message.validator + idKey(p.message.blockId), p);
            for (const p of all.values()) {
                const same = [...all.values()].filter((q) => bytesEqual(q.message.blockId, p.message.blockId));
                if (this.power.quorum(same.reduce((a, q) => a + this.power.each[q.message.validator], 0n))) id = p.message.blockId;
            }`,
      ),
      machine(
        "commitOf(votes.quorum(PRECOMMIT) ?? [])",
        "commitOf(votes.quorum(PRECOMMIT) ?? votes.votes(PRECOMMIT).filter((p) => p && bytesEqual(p.message.blockId, id)))",
      ),
    ],
  },
  {
    name: "equivocations-twice",
    what: "a validator that votes for one thing twice counts twice",
    edits: [votes("if (tally?.votes.has(validator))", "if (false)")],
  },
  {
    name: "first-vote-only",
    what: "an equivocator's second vote is never counted, though others saw it first",
    edits: [votes("if (!supported && kept >= CONFLICTS_KEPT)", "if (true)")],
  },
  {
    name: "decides-current-round-only",
    what: "precommits of earlier rounds no longer decide",
    edits: [
      machine(
        "const id = votes.agreed(PRECOMMIT);",
        "if (this.#votes.get(this.round) !== votes) continue; const id = votes.agreed(PRECOMMIT);",
      ),
    ],
  },
  {
    name: "forgets-valid-value",
    what: "a proposer builds anew instead of proposing its valid value",
    edits: [machine("if (this.valid) {", "if (false) {")],
  },
  {
    name: "valid-only-when-locking",
    what: "a proof-of-lock that comes after the own precommit is not kept as valid value",
    edits: [machine("this.valid = mark;", 'if (this.step === "prevote") this.valid = mark;')],
  },
  {
    name: "constant-timeouts",
    what: "timeouts do not grow with the round",
    edits: [machine("ms: base + round * t.deltaMs", "ms: base")],
  },
  {
    name: "no-round-skip",
    what: "a third in a later round is not followed",
    edits: [machine("if (round > target && votes.someCorrectHere)", "if (false)")],
  },
  {
    name: "one-skips-rounds",
    what: "one message of a later round is followed",
    edits: [machine("if (round > target && votes.someCorrectHere)", "if (round > target)")],
  },
  {
    name: "unbounded-future",
    what: "every future round that anyone names is kept",
    edits: [machine("const FUTURE_ROUNDS_PER_VALIDATOR = 2;", "const FUTURE_ROUNDS_PER_VALIDATOR = Infinity;")],
  },
  {
    name: "capped-blocks",
    what: "two blocks are kept, and the third is refused even if it is the decided one",
    edits: [
      {
        file: "consensus/engine/blocks.js",
        find: "if (!asked(id) || this.#entries.has(key))",
        replace: "if (!asked(id) || this.#entries.has(key) || this.#entries.size >= 2)",
      },
    ],
  },
  {
    name: "simple-majority",
    what: "more than half is a quorum",
    n: 7,
    edits: [votes("return 3n * power > 2n * this.total;", "return 2n * power > this.total;")],
  },
  {
    name: "two-thirds-suffice",
    what: "exactly two thirds are a quorum",
    n: 6,
    edits: [votes("return 3n * power > 2n * this.total;", "return 3n * power >= 2n * this.total;")],
  },
  {
    name: "heads-not-power",
    what: "validators are counted, whatever their stake",
    edits: [votes("this.each = validators.map((v) => v.power);", "this.each = validators.map(() => 1n);")],
  },
  {
    name: "prevotes-invalid",
    what: "an invalid block is prevoted",
    edits: [machine("const fits = verdict.valid &&", "const fits =")],
  },
  {
    name: "built-in-any-round",
    what: "a block of an earlier round may be proposed as fresh",
    edits: [machine("verdict.builtRound === this.round", "true")],
  },
  {
    name: "anyone-proposes",
    what: "proposals of validators that are not on turn are taken",
    edits: [
      machine("if (proposer !== this.config.proposer(round) || validRound > round)", "if (validRound > round)"),
      inbox("if (!key || proposer !== ctx.proposer(round))", "if (!key)"),
    ],
  },
  {
    name: "unsigned-votes",
    what: "the signatures of votes are not checked",
    edits: [inbox("if (!verifyVote(genesisHash, key, vote))", "if (false)")],
  },
  {
    name: "any-certificate",
    what: "a block that others say is final is believed",
    edits: [
      {
        file: "consensus/engine/follow.js",
        find: "verifyCommit(ctx.genesisHash, ctx.validators, ctx.height, id, commit);",
        replace: "",
      },
    ],
  },
  {
    name: "certificate-counts-twice",
    what: "a certificate may hold one signature several times",
    edits: [commit("if (validator <= previous)", "if (false)")],
  },
  {
    name: "weak-certificate",
    what: "a third makes a certificate",
    edits: [commit("if (!power.quorum(signed))", "if (!power.someCorrect(signed))")],
  },
  {
    name: "evidence-across-rounds",
    what: "two votes of different rounds count as a double vote",
    edits: [{ file: "vm/offences.js", find: "a.round !== b.round || ", replace: "" }],
  },
  {
    name: "amnesia-of-nil",
    what: "a precommit for nil counts as a lock",
    edits: [{ file: "vm/offences.js", find: "!bytesEqual(precommit.blockId, ZERO_HASH) &&", replace: "" }],
  },
  {
    name: "stores-late",
    what: "the next height begins before the block is stored",
    edits: [engine("await this.#deps.commit(", "void this.#deps.commit(")],
  },
  {
    name: "clock-in-block",
    what: "a block's time is the builder's clock",
    edits: [
      {
        file: "consensus/block/derive.js",
        find: "const time = medianTime(",
        replace: "const time = Math.floor(globalThis.performance.now() * 1000) + medianTime(",
      },
    ],
  },
  {
    name: "votes-in-past-round",
    what: "a propose timeout makes a node prevote again after it has prevoted",
    edits: [
      machine(
        'if (this.step === "propose")\n                    this.#prevote(ZERO_HASH, -1);',
        "this.#prevote(ZERO_HASH, -1);",
      ),
    ],
  },
  {
    name: "no-pull",
    what: "peers that lack votes are not sent them",
    edits: [
      {
        file: "consensus/engine/exchange.js",
        find: "if (value && !hasBit(bits ?? new Uint8Array(0), i))",
        replace: "if (false)",
      },
    ],
  },
  {
    name: "flood-blocks-votes",
    what: "a vote that a quorum needs is refused once its sender has flooded; what is refused counts too",
    edits: [
      inbox("if (!run.admits(validator) && !bft.wants(vote))", "if (!run.admits(validator))"),
      height(
        "if (count > MESSAGES_PER_VALIDATOR",
        "this.#admitted.set(validator, count);\n        if (count > MESSAGES_PER_VALIDATOR",
      ),
    ],
  },
  {
    name: "copies-count",
    what: "copies of a proposal use up its proposer's share of messages",
    edits: [
      inbox("(same && (block.length === 0 || blocks.bytes(blockId)))", "(same && blocks.bytes(blockId))"),
      inbox("if (!same && !run.admits(proposer))", "if (!run.admits(proposer))"),
    ],
  },
  {
    name: "unlimited-messages",
    what: "a validator may have any number of messages logged",
    edits: [height("if (count > MESSAGES_PER_VALIDATOR", "if (false && count > MESSAGES_PER_VALIDATOR")],
  },
];
