import type { Head } from "../../../consensus/block/context.ts";
import { decodeMessage, type Message } from "../../../consensus/messages.ts";
import { addressOf, signTx } from "../../../crypto/domain.ts";
import { type Genesis, genesisHash } from "../../../genesis/genesis.ts";
import type { CertifiedBlock } from "../../../types/block.ts";
import { bytesEqual, fromHex, type Hash, toHex } from "../../../types/primitives.ts";
import { SignedAttestation, SignedClosing, SignedPledge } from "../../../types/round.ts";
import { type Tx, untypedPayload } from "../../../types/tx.ts";
import { PREVOTE, SignedProposal, SignedVote } from "../../../types/vote.ts";
import type { StateView } from "../../../vm/view.ts";
import { TASK, testGenesis, testKeys } from "../../consensus/world.ts";
import { settle, VirtualClock } from "../../sim/clock.ts";
import type { Effect, Fault, Loss } from "./disk.ts";
import { Machine } from "./machine.ts";

/** Four machines that agree on blocks, one of which dies at a chosen point; and the judge. Nothing here is left to chance. */

export const NAMES = ["a", "b", "c", "d"];
const DELAY_MS = 5;
/** Longer than a round's timeouts together. */
const SILENCE_MS = 2_500;

/** A recorded effect of the machine that is to die. */
export type Point = Effect & { readonly index: number; readonly height: number; readonly image: Buffer | undefined };

export type Plan = {
  /** Who dies. */
  readonly victim: string;
  /** The number of its effect at which something happens to it. */
  readonly at: number;
  readonly fault: Fault;
  readonly loss: Loss;
  /** Whether nobody hears anything for a while afterwards: what its disk has forgotten, it is not told again before it must act. */
  readonly silence: boolean;
};

let genesis: Genesis | undefined;

export class PointWorld {
  readonly genesis: Genesis;
  readonly hash: Hash;
  readonly clock: VirtualClock;
  readonly machines: Machine[];
  readonly loss: Loss;
  readonly #plan: Plan | undefined;
  /** Effects of every machine so far, and, where they are recorded, what they were. */
  readonly #effects = new Map<string, number>();
  readonly points = new Map<string, Point[]>();
  readonly #record: boolean;
  #silentUntil = 0;
  violation: string | undefined;
  fired = false;
  /** What a machine has signed and let go, or has on its disk: machine/kind/height/round → bytes. */
  readonly #signed = new Map<string, Uint8Array>();
  /** Ids of blocks by height, as any machine has stored them. */
  readonly #final = new Map<number, Hash>();
  /** Blocks whose storing a machine has been told of. */
  readonly #stored = new Map<string, number>();
  /** Proposers of round 0. */
  readonly proposers = new Map<number, string>();
  repeated = 0;

  constructor(plan?: Plan) {
    genesis ??= testGenesis(NAMES, TASK, {
      timeouts: { proposeMs: 1_000, prevoteMs: 100, precommitMs: 100, deltaMs: 50 },
    });
    this.genesis = genesis;
    this.hash = genesisHash(genesis);
    this.clock = new VirtualClock(Date.parse(genesis.genesisTime) + 1000);
    this.machines = NAMES.map((name) => new Machine(this, name));
    this.#plan = plan;
    this.#record = plan === undefined;
    this.loss = plan?.loss ?? "kill";
  }

  machine(name: string): Machine {
    return this.machines.find((m) => m.name === name) as Machine;
  }

  async begin(): Promise<void> {
    for (const machine of this.machines) {
      void machine.start();
      // One that dies while it starts never ends its start.
      while (!machine.life && !machine.disk.dead) await settle();
    }
  }

  async run(ms: number, done: () => boolean): Promise<boolean> {
    const until = this.clock.now + ms;
    for (;;) {
      if (this.violation !== undefined) return false;
      if (done()) return true;
      const act = this.clock.next(until);
      if (!act) return false;
      act();
      await settle();
    }
  }

  end(): void {
    for (const machine of this.machines) {
      if (machine.life) machine.life.dead = true;
      void machine.life?.engine.stop();
    }
  }

  fail(machine: Machine, what: string): void {
    this.violation ??= `${machine.name}, life ${machine.lives}: ${what}`;
  }

  /** The transfer that all machines have in their mempools at this state. */
  transfer(state: StateView): Tx {
    const { account } = testKeys("faucet");
    const sender = addressOf(account.publicKey);
    const to = fromHex(this.genesis.validators[0]?.address as string);
    const payload = untypedPayload({ kind: "transfer", value: { to, amount: 5n } });
    const nonce = state.account(sender)?.record.nonce ?? 0;
    return signTx(this.hash, account, { sender, nonce, fee: 100_000n, expires: 0, payload });
  }

  deliver(from: string, to: string, frame: Uint8Array): void {
    this.clock.at(DELAY_MS, () => {
      if (this.clock.now >= this.#silentUntil) this.machine(to).receive(from, frame);
    });
  }

  // ---- what a machine does ----

  effect(machine: Machine, effect: Effect): Fault | undefined {
    const { name } = machine;
    const index = (this.#effects.get(name) ?? 0) + 1;
    this.#effects.set(name, index);
    if (this.#record) {
      const points = this.points.get(name) ?? [];
      this.points.set(name, points);
      points.push({ ...effect, index, height: machine.height + 1, image: machine.disk.bytes(effect.path) });
      return undefined;
    }
    const plan = this.#plan as Plan;
    if (plan.victim !== name || plan.at !== index || this.fired) return undefined;
    this.fired = true;
    return plan.fault;
  }

  spoke(machine: Machine, frame: Uint8Array): void {
    const message = decodeMessage(frame);
    const slot = slotOf(message);
    // Machines pass on what others have signed, too.
    if (!slot || NAMES[slot.by] !== machine.name) return;
    this.#sign(machine, slot.name, slot.bytes);
    if (message.kind === "proposal" && message.value.proposal.message.round === 0) {
      this.proposers.set(message.value.proposal.message.height, machine.name);
    }
  }

  #sign(machine: Machine, slot: string, bytes: Uint8Array): void {
    const key = `${machine.name}/${slot}`;
    const earlier = this.#signed.get(key);
    if (earlier && !bytesEqual(earlier, bytes)) this.fail(machine, `signed two messages for ${slot}`);
    if (earlier && machine.lives > 1) this.repeated++;
    this.#signed.set(key, bytes);
  }

  /** The signer's file as it was opened: nothing that left the machine may be missing from it, unless its height is over. */
  remembered(machine: Machine, entries: readonly Uint8Array[]): void {
    const known = entries.map((e) => Buffer.from(e).toString("latin1"));
    for (const [key, bytes] of this.#signed) {
      const [name, , height] = key.split("/");
      if (name !== machine.name || Number(height) <= (this.#stored.get(name) ?? 0)) continue;
      const text = Buffer.from(bytes).toString("latin1");
      if (!known.some((entry) => entry.includes(text)))
        this.fail(machine, `its disk does not know that it signed ${key}`);
    }
  }

  /** A block is stored, and the engine has been told so. */
  stored(machine: Machine, { height, id }: Head): void {
    this.#agree(machine, height, id);
    this.#stored.set(machine.name, height);
  }

  /** Nothing that was final on a machine is gone after a restart. */
  reopened(machine: Machine, { height, id }: Head): void {
    const before = this.#stored.get(machine.name) ?? 0;
    if (height < before) this.fail(machine, `block ${before} was final and is gone: the head is ${height}`);
    if (height > 0) this.#agree(machine, height, id);
  }

  #agree(machine: Machine, height: number, id: Hash): void {
    const known = this.#final.get(height);
    if (known && !bytesEqual(known, id)) this.fail(machine, `has another block ${height}: ${toHex(id)}`);
    this.#final.set(height, id);
  }

  crashed(machine: Machine): void {
    const plan = this.#plan;
    if (plan?.silence && machine.lives === 1) this.#silentUntil = this.clock.now + SILENCE_MS;
  }

  logged(machine: Machine, level: string, text: string): void {
    // Nobody lies here: a refusal of the guard would be a second signature that was tried.
    if (
      level === "error" ||
      text.startsWith("refused: another") ||
      /two different votes|had lost messages|the database ends at/.test(text)
    ) {
      this.fail(machine, `logs: ${text}`);
    }
  }

  reported(machine: Machine, peer: string, verdict: string, why: string): void {
    if (verdict === "reject") this.fail(machine, `punishes ${peer}: ${why}`);
  }

  /** All heights of all machines, in the end. */
  async compare(height: number): Promise<void> {
    for (const machine of this.machines) {
      for (let h = 1; h <= height; h++) {
        const block: CertifiedBlock | undefined = await machine.life?.store.certified(h);
        const id = this.#final.get(h);
        if (!block || !id || !bytesEqual(block.commit.blockId, id))
          this.fail(machine, `does not have the block ${h} of the others`);
      }
    }
  }
}

type Slot = { readonly by: number; readonly name: string; readonly bytes: Uint8Array };

/** Which slot a frame's signature fills, and whose it is: one value each, whatever happens. */
function slotOf({ kind, value }: Message): Slot | undefined {
  switch (kind) {
    case "vote": {
      const { type, height, round, validator: by } = value.message;
      const name = `${type === PREVOTE ? "prevote" : "precommit"}/${height}/${round}`;
      return { by, name, bytes: SignedVote.serialize(value) };
    }
    case "proposal": {
      const { height, round, proposer: by } = value.proposal.message;
      return { by, name: `proposal/${height}/${round}`, bytes: SignedProposal.serialize(value.proposal) };
    }
    case "pledge":
      return {
        by: value.message.miner,
        name: `pledge/${value.message.height}/0`,
        bytes: SignedPledge.serialize(value),
      };
    case "closing":
      return {
        by: value.message.member,
        name: `closing/${value.message.height}/0`,
        bytes: SignedClosing.serialize(value),
      };
    case "attestation":
      return {
        by: value.message.member,
        name: `attestation/${value.message.height}/0`,
        bytes: SignedAttestation.serialize(value),
      };
    default:
      return undefined;
  }
}
