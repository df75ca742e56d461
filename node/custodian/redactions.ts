import { approvalSigning, consentSigning } from "../../crypto/custodian.ts";
import { CONSENT_REDACTION } from "../../types/ceremony.ts";
import { errorText, isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import type { KeyEpoch } from "../../types/state.ts";
import { type CustodyDeps, STAGGER_BLOCKS } from "./deps.ts";
import { MAX_CONSENTS } from "./holdings.ts";
import { type PlacedSignature, Signatures } from "./messages.ts";
import { type Case, caseOf, currentShare } from "./office.ts";
import type { Peers } from "./peers.ts";
import type { Sender } from "./sender.ts";
import { type Opening, SessionLeader } from "./session.ts";
import type { Signer } from "./signer.ts";

/**
 * Redactions that this custodian has approved: learns who else has, and when enough have and the delay is over, one of their nodes makes
 * the opening with the others, collects approvals of it and puts it on the chain. Normally the first in the order of the key; the next
 * ones when the chain still has not got it some blocks later.
 */

/** Sessions are tried again after so many blocks at most. */
const MAX_PAUSE_BLOCKS = 32;

type Work = {
  /** Consents of others by custodian key (hex), verified. */
  readonly consents: Map<string, Uint8Array>;
  readonly leader: SessionLeader;
  /** Height at which enough had approved and the delay was over. */
  readyAt: number | undefined;
  opening: Opening | undefined;
  /** First height at which sessions are tried again. */
  again: number;
  doing: string | null;
};

export class Redactions {
  readonly #deps: CustodyDeps;
  readonly #sender: Sender;
  readonly #peers: Peers;
  readonly #signer: Signer;
  readonly #work = new Map<string, Work>();

  constructor(deps: CustodyDeps, sender: Sender, peers: Peers, signer: Signer) {
    this.#deps = deps;
    this.#sender = sender;
    this.#peers = peers;
    this.#signer = signer;
  }

  /** @throws PoflError as CustodyView.approve */
  approve(request: Hash, signature: Uint8Array): void {
    const { genesisHash, custodian, holdings } = this.#deps;
    const consent = { what: CONSENT_REDACTION, id: request };
    if (!consentSigning.verify(genesisHash, custodian.publicKey, consent, signature)) {
      throw new PoflError("BAD_CONSENT", "the request is not signed with the custodian key of this node");
    }
    if (holdings.consent(request)) return;
    if (this.#deps.catchingUp()) {
      throw new PoflError(
        "CATCHING_UP",
        "this node is catching up: what it knows of the request may be old; try again",
      );
    }
    const state = this.#deps.state();
    const { record } = caseOf(this.#deps, state, request);
    if (!currentShare(holdings, state, custodian.publicKey, record.epoch)) {
      throw new PoflError(
        "NO_SHARE",
        `this custodian's share of the key of epoch ${record.epoch} is not in data/custodian: put the file back, or hand the key over anew`,
      );
    }
    const given = holdings.consents();
    if (given.length >= MAX_CONSENTS) {
      throw new PoflError("TOO_MANY_CONSENTS", `${MAX_CONSENTS} approved requests are not over yet, which is the most`);
    }
    holdings.setConsents([...given, { request, signature }]);
  }

  async step(): Promise<void> {
    for (const { request } of this.#deps.holdings.consents()) {
      const work = this.#of(request);
      try {
        work.doing = await this.#advance(caseOf(this.#deps, this.#deps.state(), request), work);
      } catch (error) {
        work.doing = errorText(error);
        if (isPoflError(error, "REQUEST_OVER")) this.#over(request);
        else if (!isPoflError(error, "NOT_FOUND") && !isPoflError(error, "NOT_IN_OFFICE")) {
          this.#deps.log.error({ request: toHex(request), err: error }, `the redaction can't go on: ${work.doing}`);
        }
      }
    }
  }

  #of(request: Hash): Work {
    const name = toHex(request);
    const known = this.#work.get(name);
    if (known) return known;
    const leader = new SessionLeader(this.#deps, this.#peers, this.#signer);
    const fresh: Work = { consents: new Map(), leader, readyAt: undefined, opening: undefined, again: 0, doing: null };
    this.#work.set(name, fresh);
    return fresh;
  }

  #over(request: Hash): void {
    const { holdings } = this.#deps;
    this.#work.delete(toHex(request));
    this.#signer.forget(request);
    this.#sender.forget(`execute ${toHex(request)}`);
    holdings.setConsents(holdings.consents().filter((c) => !bytesEqual(c.request, request)));
  }

  async #advance(found: Case, work: Work): Promise<string> {
    const { request, key, place, due } = found;
    const purpose = `execute ${toHex(request.id)}`;
    if (this.#deps.catchingUp()) return "waits until this node has caught up";
    if (this.#sender.waits(purpose)) return "has sent the edit, waits for a block";
    const before = this.#approving(key, request.id);
    if (before.length < key.keys.length) await this.#exchange(found, work);
    const approving = this.#approving(key, request.id);
    const lacking = key.threshold - approving.length;
    if (lacking > 0) return `approved here; waits for the approval of ${lacking} more custodians`;
    if (!due) return `approved by ${approving.length}; waits for height ${request.opensAt}`;
    const { height } = this.#deps.state();
    work.readyAt ??= height;
    const turn = work.readyAt + STAGGER_BLOCKS * approving.filter((at) => at < place).length;
    if (height < turn) return `approved by ${approving.length}; leaves it to others until height ${turn}`;
    if (!work.opening) {
      if (height < work.again) return work.doing ?? "waits for a block";
      const made = await work.leader.run(found);
      if (typeof made === "string") {
        // Sessions that fail cost every signer something; waiting for somebody to be online costs little.
        work.again = height + Math.min(2 ** work.leader.failed, MAX_PAUSE_BLOCKS);
        return `approved by ${approving.length}; ${made}`;
      }
      work.opening = made;
    }
    return this.#execute(found, work.opening, purpose);
  }

  /** Learns of others' consents. */
  async #exchange({ request, key }: Case, work: Work): Promise<void> {
    const { genesisHash } = this.#deps;
    const question = { kind: "consents", value: { request: request.id } } as const;
    for (const { peer, value } of await this.#peers.askAll(question, Signatures)) {
      for (const { custodian, signature } of value) {
        const by = key.keys[custodian];
        if (by && work.consents.has(toHex(by))) continue;
        const consent = { what: CONSENT_REDACTION, id: request.id };
        if (!by || !consentSigning.verify(genesisHash, by, consent, signature)) {
          // Its final state may be another than ours: the same place is another custodian's after the key was handed over.
          this.#deps.log.debug({ peer, custodian }, "a consent that does not hold here");
          continue;
        }
        work.consents.set(toHex(by), signature);
      }
    }
  }

  /** Places of the custodians in office that are known to approve, ascending. */
  #approving(key: Readonly<KeyEpoch>, request: Hash): number[] {
    const { custodian, holdings } = this.#deps;
    const known = this.#work.get(toHex(request))?.consents;
    const own = holdings.consent(request) !== undefined;
    return key.keys.flatMap((by, at) =>
      (own && bytesEqual(by, custodian.publicKey)) || known?.has(toHex(by)) ? [at] : [],
    );
  }

  async #execute(found: Case, { r, s }: Opening, purpose: string): Promise<string> {
    const { genesisHash } = this.#deps;
    const { request, key, redaction } = found;
    const question = { request: request.id, r, s };
    const approvals = new Map<number, Uint8Array>();
    const own = this.#signer.approval(question);
    approvals.set(own.custodian, own.signature);
    const answers = await this.#peers.askAll({ kind: "approval", value: question }, Signatures);
    for (const { peer, value } of answers) {
      for (const { custodian, signature } of value) {
        const by = key.keys[custodian];
        const message = { request: request.id, cm: redaction.cm, r, s };
        if (by && approvalSigning.verify(genesisHash, by, message, signature)) approvals.set(custodian, signature);
        else this.#deps.log.debug({ peer, custodian }, "an approval that does not hold here");
      }
    }
    const lacking = key.threshold - approvals.size;
    if (lacking > 0) return `has the opening; waits for ${lacking} more custodians to be online`;
    const chosen = [...approvals].sort(([a], [b]) => a - b).slice(0, key.threshold);
    const why = this.#sender.send(purpose, {
      kind: "redact-execute",
      value: {
        request: request.id,
        r,
        s,
        approvals: chosen.map(([custodian, signature]) => ({ custodian, signature })),
      },
    });
    return why === undefined ? "has sent the edit, waits for a block" : `can't send the edit: ${why}`;
  }

  /** Consents that are known here, for others. */
  consents(request: Hash): PlacedSignature[] {
    const given = this.#deps.holdings.consent(request);
    if (!given) return [];
    const { key, place } = caseOf(this.#deps, this.#deps.state(), request);
    const known = this.#work.get(toHex(request))?.consents;
    return key.keys.flatMap((by, custodian) => {
      const signature = custodian === place ? given.signature : known?.get(toHex(by));
      return signature ? [{ custodian, signature }] : [];
    });
  }

  approvals(request: Hash): number {
    const state = this.#deps.state();
    const asked = state.find("requests", request)?.record;
    const record = asked && state.find("records", asked.label)?.record;
    const key = record && state.entry("epochs", record.epoch);
    return key ? this.#approving(key, request).length : 0;
  }

  working(request: Hash): string | null {
    return this.#work.get(toHex(request))?.doing ?? null;
  }

  /** Custodian keys (hex) that have signed a bad share for this request. */
  named(request: Hash): readonly string[] {
    return this.#work.get(toHex(request))?.leader.bad ?? [];
  }
}
