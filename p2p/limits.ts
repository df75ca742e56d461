import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES, MAX_BLOCK_BYTES } from "../types/limits.ts";

const MiB = 1024 * 1024;

/** Every bound of the network, each with its reason. Bytes and milliseconds; a test or an operator may pass others. */
export const DEFAULT_LIMITS = {
  /** A frame carries at most a block and its envelope. */
  maxFrameBytes: MAX_BLOCK_BYTES + MiB,
  /** Requests are questions: a root, a range, some ids. */
  maxRequestBytes: 64 * 1024,

  /** Validators are at most 128, each a peer in a full mesh, and as many followers again. */
  maxConnections: 256,
  /** Per second and host. libp2p's 5 resets connections when ten nodes share one machine. */
  inboundPerSecond: 100,
  /** Handshakes under way; each costs a few curve operations, so a flood must queue outside. */
  maxPendingInbound: 64,
  /** Also the bound on the time that one dead address can hold a place among the dials. */
  dialTimeoutMs: 5_000,
  maxParallelDials: 16,

  /** Unsent bytes to one peer: three blocks and a burst of votes. Past it the peer is too slow and is dropped. */
  maxQueuedBytes: 16 * MiB,
  /** Bytes that one stream may have under way. Below libp2p's read buffer, or a paused reader would be reset. */
  streamWindowBytes: 4 * MiB,
  readBufferBytes: 8 * MiB,
  /** One peer may open this many streams at once, over all protocols; each costs a few hundred bytes until it is used. */
  maxStreams: 256,
  /** A connection that has no direct stream by then serves nobody. */
  handshakeMs: 10_000,
  /** Silence after which we send an empty frame, and after which a peer counts as dead: three may be lost. */
  heartbeatMs: 8_000,
  silenceMs: 30_000,
  /** A peer whose queue has not moved for this long is dropped before the queue is full. */
  stallMs: 20_000,

  /** gossipsub sends without back-pressure; past this its stream to the slow peer is reset. */
  gossipBufferBytes: 8 * MiB,

  /** Requests that one peer has under way with us, per protocol; more wait, then are refused. */
  concurrentRequests: 2,
  waitingRequests: 8,
  /** Served to one peer per second in the long run, and at once: a hospital's uplink is the scarce thing. */
  serveBytesPerSecond: 64 * MiB,
  serveBurstBytes: 256 * MiB,
  /** An answer that would have to wait longer for its quota is refused. */
  serveWaitMs: 10_000,
  /** What each frame of an answer, and each question, costs at least: asking for nothing is not free. */
  requestCostBytes: 1024,
  /** For each frame of an answer to leave, and for a request to arrive. */
  serveFrameMs: 10_000,

  /** Chunks of one blob request: 16 MiB; a source that fails costs at most that much work. */
  chunksPerRequest: 64,
  /** For one chunk of 256 KiB: 25 KiB/s at least. */
  chunkMs: 10_000,
  /** A source is late that is this far behind `paceMs` per chunk, which is a line of 10 Mbit/s: others are asked for the same then. */
  lateMs: 2_000,
  paceMs: 200,
  /** Sources asked at the same time for one blob, not counting late ones. */
  sourcesPerBlob: 3,
  /** With late ones, each of which has `chunkMs` more: lines may be slow everywhere, and what is under way should arrive. */
  pullsPerBlob: 9,
  /** Blobs being fetched, all together; the next one waits. */
  fetchBytes: 2 * MAX_BLOB_BYTES,
  /** Blobs of which only a part came in time, kept for the next attempt. */
  partBytes: MAX_BLOB_BYTES,
  /** Between two rounds over sources that did not have the blob yet. */
  blobRetryMs: 200,

  /** Peers of which we know addresses: a mesh of a hundred, with room. */
  maxKnownPeers: 512,
  maxAddressesPerPeer: 8,
  /** Peers in one answer of the peers protocol. */
  maxSharedPeers: 128,
  /** Each node asks one random peer for others this often. */
  exchangeMs: 5_000,
  /** Redial: the pause doubles from the first to the second; bootnodes never stop. */
  redialMinMs: 250,
  redialMaxMs: 15_000,
  /** A peer that is not a bootnode is forgotten after so many failures in a row, about ten minutes. */
  redialTries: 40,
  /** How long a peer of another chain is left alone. */
  foreignMs: 60_000,

  /** A rejected message costs 10: disconnected at the second within minutes, banned at the fifth. */
  disconnectScore: -15,
  banScore: -45,
  banMs: 600_000,
  scoreHalfLifeMs: 600_000,
} as const satisfies Record<string, number>;

export type Limits = { readonly [Name in keyof typeof DEFAULT_LIMITS]: number };

/** An upper bound of a blob answer of so many chunks: index, proof (at most 32 levels), bytes and frame length of each. */
export const blobAnswerBytes = (chunks: number): number => chunks * (BLOB_CHUNK_BYTES + 4 + 1 + 32 * 32 + 4);
