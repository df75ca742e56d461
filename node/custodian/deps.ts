import type { KeyPair } from "../../crypto/ed25519.ts";
import type { Genesis } from "../../genesis/genesis.ts";
import type { Log, Peer, Verdict } from "../../p2p/types.ts";
import type { Hash } from "../../types/primitives.ts";
import type { Tx } from "../../types/tx.ts";
import type { State } from "../../vm/state.ts";
import type { Mempool } from "../mempool.ts";
import type { Journal } from "../store/journal.ts";
import type { Holdings } from "./holdings.ts";

/** Everything that a custodian's part of a node is handed: tests hand in others. */
export type CustodyDeps = {
  readonly genesis: Genesis;
  readonly genesisHash: Hash;
  readonly custodian: KeyPair;
  /** Pays the fees of its transactions. */
  readonly account: KeyPair;
  /** The last final one. */
  state(): State;
  /** The node knows that its state is not the latest: it signs nothing on it. */
  catchingUp(): boolean;
  /** Milliseconds. */
  now(): number;
  /** Cryptographically secure. */
  random(bytes: number): Uint8Array;
  readonly network: {
    peers(): readonly Peer[];
    /** The first frame of the answer; undefined when there is none. @throws PoflError NOT_CONNECTED, REQUEST_FAILED, … */
    ask(peer: Peer, question: Uint8Array): Promise<Uint8Array | undefined>;
    report(peer: Peer, verdict: Verdict): void;
  };
  readonly mempool: Pick<Mempool, "has" | "nextNonce">;
  /** Admits a transaction and passes it on. @throws PoflError */
  submit(tx: Tx): Hash;
  readonly holdings: Holdings;
  /** Sessions that a share was made for. */
  readonly sessions: Journal;
  readonly log: Log;
};

/** Where one of several may do a thing, each waits so many blocks longer than the one before it. */
export const STAGGER_BLOCKS = 3;
