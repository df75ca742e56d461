import { ContainerType, ListCompositeType, type ValueOf } from "@chainsafe/ssz";
import { CeremonyPlan } from "../../types/ceremony.ts";
import { Bytes32, Bytes64, bytesEqual, decode, type Hash, toHex, U32 } from "../../types/primitives.ts";
import { ceremonyId } from "../../vm/ceremony.ts";
import type { Vault } from "./vault.ts";

/** What a custodian keeps in its vault: ceremonies that it takes part in, shares, consents. */

/** Everything that the custodian does in a ceremony follows from this: a restart goes on where it was. */
const Joined = new ContainerType(
  {
    plan: CeremonyPlan,
    /** 32 random bytes. */
    seed: Bytes32,
  },
  { typeName: "Joined" },
);
const HeldShare = new ContainerType(
  {
    /** That dealt it. */
    ceremony: Bytes32,
    epoch: U32,
    generation: U32,
    /** A scalar, 32 bytes little-endian. */
    share: Bytes32,
  },
  { typeName: "HeldShare" },
);
const GivenConsent = new ContainerType(
  {
    request: Bytes32,
    /** Of the Consent, by the custodian key. */
    signature: Bytes64,
  },
  { typeName: "GivenConsent" },
);

/** Ceremonies that a custodian takes part in at once. */
export const MAX_JOINED = 16;
/** Requests that a custodian has approved and that are not over. */
export const MAX_CONSENTS = 4096;
const GivenConsents = new ListCompositeType(GivenConsent, MAX_CONSENTS);

export type Joined = ValueOf<typeof Joined> & { readonly id: Hash };
export type HeldShare = ValueOf<typeof HeldShare>;
export type GivenConsent = ValueOf<typeof GivenConsent>;

const CEREMONY = "ceremony-";
const SHARE = "share-";
const CONSENTS = "consents";
const digits = (hash: Hash): string => toHex(hash).slice(2);
/** Two ceremonies for one generation may both be under way: a share of one must never take the place of the other's. */
const shareName = (s: HeldShare): string => `${SHARE}${s.epoch}-${s.generation}-${digits(s.ceremony).slice(0, 16)}`;

/** All of it is in memory too; each change is on the disk when its method returns. */
export class Holdings {
  readonly #vault: Vault;
  readonly #joined = new Map<string, Joined>();
  readonly #shares = new Map<string, HeldShare>();
  #consents: readonly GivenConsent[] = [];

  /** @throws PoflError BAD_ENCODING (a file of a later version), or as `Vault.read` */
  constructor(vault: Vault) {
    this.#vault = vault;
    for (const name of vault.names()) {
      const bytes = vault.read(name);
      if (!bytes) continue;
      if (name.startsWith(CEREMONY)) {
        const value = decode(Joined, bytes);
        this.#joined.set(name, { ...value, id: ceremonyId(value.plan) });
      } else if (name.startsWith(SHARE)) this.#shares.set(name, decode(HeldShare, bytes));
      else if (name === CONSENTS) this.#consents = decode(GivenConsents, bytes);
    }
  }

  joined(): readonly Joined[] {
    return [...this.#joined.values()];
  }
  ceremony(id: Hash): Joined | undefined {
    return this.#joined.get(CEREMONY + digits(id));
  }
  join(plan: CeremonyPlan, seed: Uint8Array): Joined {
    const joined = { plan, seed, id: ceremonyId(plan) };
    const name = CEREMONY + digits(joined.id);
    this.#vault.write(name, Joined.serialize(joined));
    this.#joined.set(name, joined);
    return joined;
  }
  /** Forgets the seed. */
  leave(id: Hash): void {
    const name = CEREMONY + digits(id);
    this.#vault.remove(name);
    this.#joined.delete(name);
  }

  shares(): readonly HeldShare[] {
    return [...this.#shares.values()];
  }
  /** The share that a ceremony gave. */
  shareFrom(ceremony: Hash): HeldShare | undefined {
    return this.shares().find((s) => bytesEqual(s.ceremony, ceremony));
  }
  keep(share: HeldShare): void {
    const name = shareName(share);
    this.#vault.write(name, HeldShare.serialize(share));
    this.#shares.set(name, share);
  }
  forget(share: HeldShare): void {
    const name = shareName(share);
    this.#vault.remove(name);
    this.#shares.delete(name);
  }

  consents(): readonly GivenConsent[] {
    return this.#consents;
  }
  consent(request: Hash): GivenConsent | undefined {
    return this.#consents.find((c) => bytesEqual(c.request, request));
  }
  setConsents(consents: readonly GivenConsent[]): void {
    this.#vault.write(CONSENTS, GivenConsents.serialize([...consents]));
    this.#consents = consents;
  }
}
