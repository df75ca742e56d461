import type { Hash } from "../types/primitives.ts";
import type { Limits } from "./limits.ts";
import type { Topic } from "./protocols.ts";

/** What the network offers to the node, and what it is given. It knows bytes and topics, no rules of the chain. */

/** Base58 libp2p peer id; it names an Ed25519 key, and the Noise handshake proves it. */
export type Peer = string;

/** accept: good; ignore: neither useful nor wrong; reject: nobody honest sends this. */
export type Verdict = "accept" | "ignore" | "reject";

/** pino's shape; any logger of that shape fits. */
export type Log = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};

export type NetworkOptions = {
  /** Multiaddrs, e.g. `/ip4/0.0.0.0/tcp/26656`; port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Multiaddrs to begin from, with or without `/p2p/<peer>`; redialled for ever. */
  readonly bootnodes: readonly string[];
  /** Ed25519 seed of the network identity, 32 bytes; used for nothing else. */
  readonly keySeed: Uint8Array;
  readonly genesisHash: Hash;
  /** Peer ids that may connect; left out = anyone of this chain. */
  readonly allowlist?: readonly Peer[] | undefined;
  /** Addresses to announce in place of those listened on (behind NAT). */
  readonly announce?: readonly string[] | undefined;
  readonly limits?: Partial<Limits> | undefined;
};

/** Called synchronously, in order; what they throw is logged and punishes nobody. */
export type NetworkHandlers = {
  /** A direct stream to the peer is open: frames may be sent. Comes before its first frame. */
  onPeer(peer: Peer): void;
  /** The direct stream is gone; what was queued is lost. */
  onGone(peer: Peer): void;
  /** `frame` is the receiver's to keep. */
  onFrame(peer: Peer, frame: Uint8Array): void;
};

export type NetworkModules = { readonly log: Log; readonly handlers?: Partial<NetworkHandlers> };

export type GossipHandler = (peer: Peer, bytes: Uint8Array) => Verdict | Promise<Verdict>;
/** Charges the asker's quota with work that its answer does not show, and waits for it. @throws PoflError QUOTA */
export type Spend = (bytes: number) => Promise<void>;
/** Each yielded item is one frame of the answer; throwing resets the stream. */
export type RequestHandler = (peer: Peer, request: Uint8Array, spend?: Spend) => AsyncIterable<Uint8Array>;
export type RequestOptions = {
  /** For the stream to open, and then for each frame to arrive. */
  readonly timeoutMs: number;
  /** Of all frames together. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
};
export type FetchOptions = {
  /** For the whole blob. */
  readonly timeoutMs: number;
  /** Sources, best first; left out = every connected peer. */
  readonly peers?: readonly Peer[] | undefined;
  readonly signal?: AbortSignal | undefined;
};
/** The bytes of a blob that this node holds. */
export type BlobSource = (root: Hash) => Promise<Uint8Array | undefined>;

export type PeerInfo = {
  readonly peer: Peer;
  /** Multiaddr of the other end of the connection. */
  readonly address: string;
  /** Where it says that it can be dialled; empty until it has said so. */
  readonly listens: readonly string[];
  readonly direction: "inbound" | "outbound";
  /** Milliseconds since the epoch. */
  readonly connectedAt: number;
  readonly score: number;
  /** Bytes not yet handed to the operating system. */
  readonly queuedBytes: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
};

export type Traffic = { in: number; out: number };
/** Bytes of payload since the start; gossip: bytes of its streams, control messages included. */
export type Counters = {
  readonly direct: Readonly<Traffic>;
  readonly gossip: Readonly<Traffic>;
  readonly blobs: Readonly<Traffic>;
  readonly requests: Readonly<Traffic>;
};

export type Network = {
  readonly peerId: Peer;
  /** Opens the ports and begins to dial. @throws PoflError PORT_TAKEN, BAD_LISTEN */
  start(): Promise<void>;
  /** Closes everything; may be called at any time and more than once. */
  stop(): Promise<void>;
  /** Multiaddrs under which others reach this node, with its peer id. */
  addresses(): string[];
  /** Peers with an open direct stream. */
  peers(): PeerInfo[];
  /** Replaces the given handlers. */
  setHandlers(handlers: Partial<NetworkHandlers>): void;
  /**
   * Queues a frame on the peer's direct stream; the bytes must not change afterwards. False when there is no stream, or when
   * the peer has just been dropped because it reads too slowly.
   * @throws PoflError FRAME_SIZE when empty or larger than a frame may be
   */
  send(peer: Peer, frame: Uint8Array): boolean;
  /** `send` to every peer but `except`; returns how many took it. @throws PoflError FRAME_SIZE */
  broadcast(frame: Uint8Array, except?: Peer): number;
  /** Gossips to everyone; returns the number of direct recipients. @throws PoflError GOSSIP_SIZE */
  publish(topic: Topic, bytes: Uint8Array): Promise<number>;
  /** Subscribes; the verdict decides whether a message is passed on and scores its sender. One handler per topic. */
  onGossip(topic: Topic, handler: GossipHandler): void;
  /**
   * Asks a peer; yields the frames of its answer. `protocol` is a short name with version, e.g. `blocks/1`. Leaving the loop
   * early resets the stream.
   * @throws PoflError NOT_CONNECTED, REQUEST_FAILED, REQUEST_TIMEOUT, RESPONSE_SIZE, ABORTED
   */
  request(peer: Peer, protocol: string, bytes: Uint8Array, options: RequestOptions): AsyncIterable<Uint8Array>;
  /** Answers requests of that protocol. @throws PoflError PROTOCOL_TAKEN */
  serve(protocol: string, handler: RequestHandler): Promise<void>;
  /**
   * Pulls a blob from the peers that have it, every chunk verified before it is kept; tries again until the time is over.
   * @throws PoflError BLOB_SIZE, BLOB_TIMEOUT, BLOB_UNAVAILABLE (every source lied), ABORTED
   */
  fetchBlob(root: Hash, size: number, options: FetchOptions): Promise<Uint8Array>;
  /** Serves blobs to others from `source`. */
  serveBlobs(source: BlobSource): void;
  /** Feeds the peer's score; below the limits it is disconnected, then banned for a while. */
  report(peer: Peer, verdict: Verdict): void;
  counters(): Counters;
};
