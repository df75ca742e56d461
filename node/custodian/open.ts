import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { KeyPair } from "../../crypto/ed25519.ts";
import type { Log, Network } from "../../p2p/types.ts";
import type { State } from "../../vm/state.ts";
import type { Events } from "../events.ts";
import type { Home } from "../home.ts";
import type { Mempool } from "../mempool.ts";
import type { Journal } from "../store/journal.ts";
import type { Sync } from "../sync.ts";
import type { TxGate } from "../txgate.ts";
import { Custody } from "./custody.ts";
import { Holdings } from "./holdings.ts";
import { CUSTODIAN_PROTOCOL, MAX_ANSWER_BYTES } from "./messages.ts";
import { openVault } from "./vault.ts";

/** Gives a running node its custodian's part. */

/** Between two looks at what others have, besides those at each block. */
const STEP_MS = 2000;
const ASK_TIMEOUT_MS = 10_000;

export type CustodyParts = {
  readonly home: Home;
  readonly keys: KeyPair;
  readonly state: () => State;
  readonly network: Network;
  readonly mempool: Mempool;
  readonly gate: TxGate;
  readonly sync: Sync;
  readonly events: Events;
  /** Sessions that a share was made for. */
  readonly sessions: Journal;
  readonly log: Log;
};

export type OpenCustody = { readonly custody: Custody; stop(): Promise<void> };

/**
 * Opens the vault and answers other custodians' nodes from now on.
 * @throws PoflError VAULT_DAMAGED, VAULT_WRONG_KEY, BAD_ENCODING, disk errors
 */
export async function openCustody(parts: CustodyParts): Promise<OpenCustody> {
  const { home, keys, state, network, mempool, gate, sync, events, sessions, log } = parts;
  const random = (bytes: number) => new Uint8Array(randomBytes(bytes));
  const holdings = new Holdings(openVault(join(home.paths.data, "custodian"), keys.secret, random));
  const stopping = new AbortController();
  // A node that was away learns only from others how old its state is: until it has made or received a block it takes it for old.
  let fresh = false;
  const custody = new Custody({
    genesis: home.genesis,
    genesisHash: home.genesisHash,
    custodian: keys,
    account: home.keys.account,
    state,
    catchingUp: () => !fresh || sync.catchingUp,
    now: () => Date.now(),
    random,
    network: {
      peers: () => network.peers().map(({ peer }) => peer),
      ask: async (peer, question) => {
        const options = { timeoutMs: ASK_TIMEOUT_MS, maxBytes: MAX_ANSWER_BYTES, signal: stopping.signal };
        let first: Uint8Array | undefined;
        for await (const frame of network.request(peer, CUSTODIAN_PROTOCOL, question, options)) first ??= frame;
        return first;
      },
      report: (peer, verdict) => network.report(peer, verdict),
    },
    mempool,
    submit: (tx) => gate.submit(tx),
    holdings,
    sessions,
    log,
  });
  await network.serve(CUSTODIAN_PROTOCOL, async function* (peer, question) {
    const answer = custody.answer(peer, question);
    if (answer) yield answer;
  });
  const onBlock = () => {
    fresh = true;
    void custody.step();
  };
  events.on("block", onBlock);
  const timer = setInterval(() => void custody.step(), STEP_MS);
  return {
    custody,
    stop: () => {
      clearInterval(timer);
      events.off("block", onBlock);
      stopping.abort();
      return custody.stop();
    },
  };
}
