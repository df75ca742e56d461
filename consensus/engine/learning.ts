import { blobRoot } from "../../crypto/blob.ts";
import { commitmentOf } from "../../crypto/domain.ts";
import { parameterCount, parametersOf } from "../../genesis/model.ts";
import type { TaskSpec } from "../../genesis/task.ts";
import { errorText } from "../../types/errors.ts";
import type { Offence } from "../../types/evidence.ts";
import { MAX_INLINE_BLOB_BYTES } from "../../types/limits.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import type { Opening, Reveal, UpdateVote } from "../../types/round.ts";
import type { Task } from "../../types/state.ts";
import type { HeightContext } from "../block/context.ts";
import type { LearningInputs } from "../block/inputs.ts";
import type { Message } from "../messages.ts";
import { tally } from "../round/tally.ts";
import { Session } from "../session/machine.ts";
import type { SessionEffect, SessionEvent } from "../session/types.ts";
import type { OwnMessages } from "./own.ts";
import type { EngineDeps, PhaseMark } from "./types.ts";
import type { Wal } from "./wal.ts";

/** Waited before an update that nobody could serve is asked for again. */
const FETCH_RETRY_MS = 1000;

/** What the learning of a height needs of the height. */
export type LearningHost = {
  readonly self: number;
  readonly own: OwnMessages | undefined;
  readonly wal: Wal;
  readonly model: () => Promise<Int32Array>;
  readonly mark: (phase: PhaseMark) => void;
  readonly broadcast: (message: Message) => void;
  readonly timer: (ms: number, act: () => void) => void;
  /** Carries out something that signs; what the signer refuses ends there. */
  readonly sign: (act: (own: OwnMessages) => void) => void;
  /** After every event: attestations may now suffice for a block. */
  readonly progressed: () => void;
  /** Waiting longer makes no sense. */
  readonly ready: () => void;
  readonly offence: (offence: Offence) => void;
  readonly closed: () => boolean;
};

/** Runs the learning session of a height: trains, stores, fetches and judges where the pure session asks for it. */
export class LearningRun {
  readonly session: Session;
  readonly #ctx: HeightContext;
  readonly #task: Task;
  readonly #spec: TaskSpec;
  readonly #deps: EngineDeps;
  readonly #host: LearningHost;
  readonly #queue: SessionEvent[] = [];
  #busy = false;

  constructor(ctx: HeightContext, task: Task, spec: TaskSpec, deps: EngineDeps, host: LearningHost) {
    this.#ctx = ctx;
    this.#task = task;
    this.#spec = spec;
    this.#deps = deps;
    this.#host = host;
    this.session = new Session({
      height: ctx.height,
      task: task.id,
      validators: ctx.validators,
      self: host.self,
      committee: ctx.committee,
      expected: ctx.expected,
      trains: deps.trainer !== undefined,
      windows: spec.windows,
    });
  }

  /** What this node pledged, closed and attested before a restart stands. */
  restore(trained: Opening | undefined): void {
    if (trained) this.handle(this.#trained(trained));
    const earlier = this.#host.own?.earlier(this.#ctx.height) ?? {};
    if (earlier.pledge) this.handle({ type: "pledge", pledge: earlier.pledge });
    if (earlier.closing) this.handle({ type: "closing", closing: earlier.closing });
    if (earlier.attestation) this.handle({ type: "attestation", attestation: earlier.attestation });
  }

  handle(event: SessionEvent): void {
    this.#queue.push(event);
    // Effects cause events: the queue keeps their order, and the session is never entered twice.
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next && !this.#host.closed(); next = this.#queue.shift()) {
        for (const effect of this.session.handle(next)) this.#perform(effect);
        this.#host.progressed();
      }
    } finally {
      this.#busy = false;
    }
  }

  #perform(effect: SessionEffect): void {
    const { mark, broadcast, sign, self } = this.#host;
    const { height } = this.#ctx;
    const task = this.#task.id;
    switch (effect.type) {
      case "train":
        void this.#train();
        break;
      case "timeout":
        this.#host.timer(effect.ms, () => this.handle({ type: "timeout", timer: effect.timer }));
        break;
      case "pledge":
        sign((own) => {
          const pledge = own.pledge({ height, task, miner: self, commitment: effect.commitment });
          this.handle({ type: "pledge", pledge });
          broadcast({ kind: "pledge", value: pledge });
        });
        break;
      case "close":
        mark("closed");
        sign((own) => {
          const closing = own.closing({ height, task, member: self, commitments: effect.commitments });
          this.handle({ type: "closing", closing });
          broadcast({ kind: "closing", value: closing });
        });
        break;
      case "reveal":
        void this.#reveal(effect.opening);
        break;
      case "fetch":
        void this.#fetch(effect.opening, effect.commitment);
        break;
      case "judge":
        mark("revealed");
        void this.#judge(effect.openings);
        break;
      case "attest":
        mark("judged");
        sign((own) => {
          const metrics = effect.metrics ? [effect.metrics] : [];
          const attestation = own.attestation({ height, task, member: self, updates: effect.updates, metrics });
          this.handle({ type: "attestation", attestation });
          broadcast({ kind: "attestation", value: attestation });
        });
        break;
      case "offence":
        this.#host.offence(effect.offence);
        break;
      case "ready":
        mark("ready");
        this.#host.ready();
        break;
    }
  }

  async #train(): Promise<void> {
    const { height } = this.#ctx;
    try {
      const model = parametersOf(this.#spec, await this.#host.model());
      const { exponent } = this.#task;
      const trainer = this.#deps.trainer as NonNullable<EngineDeps["trainer"]>;
      const { blob, samples } = await trainer.train({ task: this.#spec, model, exponent, height });
      const root = await this.#deps.blobs.put(blob);
      if (this.#host.closed()) return;
      const opening = { miner: this.#host.self, salt: this.#deps.random(), blobRoot: root, size: blob.length, samples };
      // On disk before it is pledged, or a restart would leave a pledge that nobody can open.
      this.#host.wal.append({ type: "trained", opening }, true);
      this.#host.mark("trained");
      this.handle(this.#trained(opening));
    } catch (error) {
      if (!this.#host.closed()) this.#deps.log.error({ err: error, height }, `training failed: ${errorText(error)}`);
    }
  }

  #trained(opening: Opening): SessionEvent {
    return { type: "trained", opening, commitment: this.commitment(opening) };
  }

  commitment(opening: Opening): Hash {
    return commitmentOf({ height: this.#ctx.height, task: this.#task.id, opening });
  }

  async #reveal(opening: Opening): Promise<void> {
    // A disk that refuses ends the node (disk.ts); the update may be fetched until then.
    const blob = await this.#deps.blobs.get(opening.blobRoot).catch(() => undefined);
    if (this.#host.closed()) return;
    const inline = blob && blob.length <= MAX_INLINE_BLOB_BYTES ? blob : new Uint8Array(0);
    const reveal: Reveal = { height: this.#ctx.height, task: this.#task.id, opening, inline };
    this.#host.broadcast({ kind: "reveal", value: reveal });
    this.handle({ type: "reveal", reveal, commitment: this.commitment(opening) });
  }

  async #fetch(opening: Opening, commitment: Hash): Promise<void> {
    // Nobody has to download more than an update can be: what claims another size is never held.
    if (opening.size > 2 * parameterCount(this.#spec)) return;
    const inline = this.session.revealOf(opening.miner, commitment)?.inline;
    try {
      if (!(await this.#deps.blobs.get(opening.blobRoot))) {
        const rides = inline && inline.length === opening.size && bytesEqual(blobRoot(inline), opening.blobRoot);
        const bytes = rides ? inline : await this.#deps.net.fetchBlob(opening.blobRoot, opening.size);
        await this.#deps.blobs.put(bytes);
      }
      if (!this.#host.closed()) this.handle({ type: "held", miner: opening.miner, commitment });
    } catch (error) {
      if (this.#host.closed()) return;
      this.#deps.log.debug({ miner: opening.miner }, `could not fetch an update: ${errorText(error)}`);
      this.#host.timer(FETCH_RETRY_MS, () => void this.#fetch(opening, commitment));
    }
  }

  async #judge(openings: readonly Opening[]): Promise<void> {
    const votes = new Map<number, UpdateVote>();
    try {
      if (this.#deps.trainer) {
        const { exponent, medianNorm } = this.#task;
        // Members have no vote on their own update.
        const others = openings.filter((o) => o.miner !== this.#host.self);
        const loaded = await Promise.all(
          others.map(async (o) => ({ miner: o.miner, blob: await this.#deps.blobs.get(o.blobRoot) })),
        );
        const updates = loaded.flatMap(({ miner, blob }) => (blob ? [{ miner, blob }] : []));
        const model = parametersOf(this.#spec, await this.#host.model());
        const judged = await this.#deps.trainer.judge({ task: this.#spec, model, exponent, medianNorm, updates });
        updates.forEach(({ miner }, i) => {
          const vote = judged.votes[i];
          if (vote !== undefined) votes.set(miner, vote);
        });
        if (!this.#host.closed()) this.handle({ type: "judged", votes, metrics: judged.metrics });
        return;
      }
    } catch (error) {
      const { height } = this.#ctx;
      this.#deps.log.error({ err: error, height }, `judging updates failed: ${errorText(error)}`);
    }
    // A member without data attests what it holds, without votes.
    if (!this.#host.closed()) this.handle({ type: "judged", votes: new Map(), metrics: undefined });
  }

  /** The included attestations decide which updates count; undefined while there are too few, or a reveal is missing. */
  inputs(): LearningInputs | undefined {
    const { session } = this;
    const { validators, committee } = this.#ctx;
    const attestations = session.attestations();
    if (attestations.length < session.quorum) return undefined;
    const pledged = session.pledges();
    const { included } = tally({ validators, committee, attestations, pledges: pledged });
    const openings: Opening[] = [];
    for (const { miner, commitment } of included) {
      const reveal = session.revealOf(miner, commitment);
      if (!reveal) return undefined;
      openings.push(reveal.opening);
    }
    const chosen = new Map(included.map((u) => [u.miner, u.commitment]));
    const pledges = validators.flatMap((_, miner) => {
      const known = pledged.filter((p) => p.message.miner === miner);
      const commitment = chosen.get(miner);
      const pledge = commitment ? known.find((p) => bytesEqual(p.message.commitment, commitment)) : known[0];
      return pledge ? [pledge] : [];
    });
    return { task: this.#task.id, pledges, openings, attestations };
  }
}
