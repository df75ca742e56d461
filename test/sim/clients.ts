import { createHash } from "node:crypto";
import { addressOf, signPossession, signTx } from "../../crypto/domain.ts";
import { TOKEN } from "../../genesis/presets.ts";
import { Tx, type TypedPayload, untypedPayload } from "../../types/tx.ts";
import { testKeys } from "../consensus/world.ts";
import type { Chance } from "./clock.ts";
import type { SimWorld } from "./world.ts";

/** Transfers, and validators that come and go. Transactions reach each machine or not, as gossip does. */
export class Clients {
  readonly #world: SimWorld;
  readonly #chance: Chance;
  readonly #nonces = new Map<string, number>();

  constructor(world: SimWorld, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
  }

  begin(): void {
    const { txEveryMs, memberChanges } = this.#world.params;
    if (memberChanges) this.#changeMembers();
    if (txEveryMs === 0) return;
    const again = () => {
      const to = addressOf(testKeys("new").account.publicKey);
      this.#submit("client", { kind: "transfer", value: { to, amount: BigInt(this.#chance.whole(1, 1000)) } });
      this.#world.clock.at(this.#chance.exponential(txEveryMs), again);
    };
    this.#world.clock.at(this.#chance.exponential(txEveryMs), again);
  }

  #changeMembers(): void {
    const { clock, genesisHash, params } = this.#world;
    const c = this.#chance;
    if (c.happens(0.8)) {
      const keys = testKeys("new");
      const value = {
        amount: BigInt(c.whole(1000, 2000)) * TOKEN,
        consensusKey: keys.consensus.publicKey,
        vrfKey: keys.vrf.publicKey,
        institution: createHash("sha256").update("institution new").digest(),
        certificate: new Uint8Array(0),
        moniker: new Uint8Array(0),
        possession: signPossession(genesisHash, keys.consensus.secret, addressOf(keys.account.publicKey)),
      };
      clock.at(c.between(0, 500), () => this.#submit("new", { kind: "bond", value }));
    }
    // Who leaves must not turn the faulty into a third of what is left.
    const stakes = params.stakes;
    const left = stakes.reduce((a, b) => a + b, 0);
    const bad = params.faulty.reduce((sum, i) => sum + (stakes[i] as number), 0);
    const leaver = c.whole(0, stakes.length - 1);
    const stake = stakes[leaver] as number;
    if (stakes.length < 5 || stakes.some((s) => s !== stake)) return;
    if (!params.faulty.includes(leaver) && 3 * bad >= left - stake) return;
    const value = { amount: BigInt(stake) * TOKEN };
    clock.at(c.between(0, 800), () => this.#submit(`v${leaver}`, { kind: "unbond", value }));
  }

  #submit(from: string, payload: TypedPayload): void {
    const { genesisHash, nodes, clock, params } = this.#world;
    const keys = testKeys(from).account;
    const nonce = this.#nonces.get(from) ?? 0;
    this.#nonces.set(from, nonce + 1);
    const body = {
      sender: addressOf(keys.publicKey),
      nonce,
      fee: TOKEN + BigInt(this.#chance.whole(0, 1000)),
      expires: 0,
      payload: untypedPayload(payload),
    };
    const bytes = Tx.serialize(signTx(genesisHash, keys, body));
    for (const node of nodes) {
      if (!this.#world.wire.healed && this.#chance.happens(params.loss)) continue;
      const arrive = () => node.submit(Tx.deserialize(bytes));
      clock.at(this.#chance.exponential(params.delayMs), arrive);
    }
  }
}
