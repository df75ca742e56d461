import type { Type } from "@chainsafe/ssz";
import type { Peer } from "../../p2p/types.ts";
import type { CeremonyPlan } from "../../types/ceremony.ts";
import { SignedSessionOffer, SignedShare, SignedSignatureShare } from "../../types/custodian.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { decode, type Hash } from "../../types/primitives.ts";
import { Ceremonies } from "./ceremony.ts";
import type { CustodyDeps } from "./deps.ts";
import { type PlacedSignature, Question, Signatures, type TypedQuestion, typedQuestion } from "./messages.ts";
import { currentShare } from "./office.ts";
import { Peers } from "./peers.ts";
import { Redactions } from "./redactions.ts";
import { Sender } from "./sender.ts";
import { Signer } from "./signer.ts";
import type { CustodyView } from "./view.ts";

/** A custodian's part of its node: answers other custodians' nodes, and on each step goes on with everything that it takes part in. */
export class Custody implements CustodyView {
  readonly key: Hash;
  readonly #deps: CustodyDeps;
  readonly #ceremonies: Ceremonies;
  readonly #signer: Signer;
  readonly #redactions: Redactions;
  #stepping: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(deps: CustodyDeps) {
    this.#deps = deps;
    this.key = deps.custodian.publicKey;
    const sender = new Sender(deps);
    const peers = new Peers(deps);
    this.#ceremonies = new Ceremonies(deps, sender, peers);
    this.#signer = new Signer(deps);
    this.#redactions = new Redactions(deps, sender, peers, this.#signer);
  }

  /** One step of everything; while one is under way, asks for another after it. Never rejects. */
  step(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#stepping) {
      this.#again = true;
      return this.#stepping;
    }
    this.#stepping = this.#steps().finally(() => {
      this.#stepping = undefined;
    });
    return this.#stepping;
  }

  async #steps(): Promise<void> {
    do {
      this.#again = false;
      try {
        // On an old state nothing is sent: what it lacks may be on the chain long since.
        if (this.#deps.catchingUp()) return;
        await this.#ceremonies.step();
        this.#signer.sweep();
        await this.#redactions.step();
      } catch (error) {
        this.#deps.log.error({ err: error }, `the custodian's step failed: ${errorText(error)}`);
      }
    } while (this.#again && !this.#stopped);
  }

  /** No step comes after the one under way, for which it waits. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#stepping;
  }

  /**
   * What this node answers to a peer; undefined = nothing.
   * @throws what is a mistake of ours
   */
  answer(peer: Peer, bytes: Uint8Array): Uint8Array | undefined {
    let question: TypedQuestion;
    try {
      question = typedQuestion(decode(Question, bytes));
    } catch (error) {
      this.#deps.network.report(peer, "reject");
      throw error;
    }
    try {
      return this.#answer(question);
    } catch (error) {
      if (!isPoflError(error)) throw error;
      this.#deps.log.debug({ peer, question: question.kind, code: error.code }, `not answered: ${error.message}`);
      return undefined;
    }
  }

  #answer({ kind, value }: TypedQuestion): Uint8Array | undefined {
    switch (kind) {
      case "share":
        return encoded(SignedShare, this.#ceremonies.dealer.sealedFor(value.ceremony, value.receiver));
      case "statements":
        return signatures(this.#ceremonies.statements(value.ceremony));
      case "consents":
        return signatures(this.#redactions.consents(value.request));
      case "session":
        return encoded(SignedSessionOffer, this.#signer.offer(value));
      case "part":
        return encoded(SignedSignatureShare, this.#signer.part(value));
      case "approval":
        return signatures([this.#signer.approval(value)]);
    }
  }

  join(plan: CeremonyPlan, signature: Uint8Array): Hash {
    if (this.#deps.catchingUp()) {
      throw new PoflError("CATCHING_UP", "this node is catching up: what it knows of custodians may be old; try again");
    }
    const id = this.#ceremonies.join(plan, signature);
    void this.step();
    return id;
  }
  approve(request: Hash, signature: Uint8Array): void {
    this.#redactions.approve(request, signature);
    void this.step();
  }

  holds(epoch: number): boolean {
    const { holdings, custodian } = this.#deps;
    return currentShare(holdings, this.#deps.state(), custodian.publicKey, epoch) !== undefined;
  }
  joined() {
    return this.#deps.holdings.joined();
  }
  doing(ceremony: Hash): string | null {
    return this.#ceremonies.doing(ceremony);
  }
  approved(request: Hash): boolean {
    return this.#deps.holdings.consent(request) !== undefined;
  }
  approvals(request: Hash): number {
    return this.#redactions.approvals(request);
  }
  working(request: Hash): string | null {
    return this.#redactions.working(request);
  }
  named(request: Hash): readonly string[] {
    return this.#redactions.named(request);
  }
}

function encoded<T>(type: Type<T>, value: T | undefined): Uint8Array | undefined {
  return value === undefined ? undefined : type.serialize(value);
}

function signatures(list: readonly PlacedSignature[]): Uint8Array | undefined {
  return list.length === 0 ? undefined : Signatures.serialize([...list]);
}
