/** Bounds that the encodings carry; genesis may set lower ones, never higher. One place for each. */

/** Validators of one height; also miners in one round and signatures in one commit. */
export const MAX_VALIDATORS = 128;
export const MAX_TXS_PER_BLOCK = 1024;
export const MAX_TX_BYTES = 64 * 1024;
export const MAX_EVIDENCE_PER_BLOCK = 16;
export const MAX_MONIKER_BYTES = 64;
/** Canonical JSON of a task. */
export const MAX_TASK_BYTES = 48 * 1024;
/** A whole encoded block, with its transactions and attestations. */
export const MAX_BLOCK_BYTES = 4 * 1024 * 1024;
/** Updates and models, in bytes: n·d of a round stays within 2^30 lanes. */
export const MAX_BLOB_BYTES = 256 * 1024 * 1024;
/** Blobs are cut, hashed and transferred in chunks of this many bytes. */
export const BLOB_CHUNK_BYTES = 256 * 1024;
/** A blob of at most this many bytes rides inside its reveal. */
export const MAX_INLINE_BLOB_BYTES = 8 * 1024;
/** Gossip carries announcements only. */
export const MAX_GOSSIP_BYTES = 64 * 1024;
export const MAX_ACCOUNTS = 2 ** 32;
export const MAX_MINERS = 2 ** 16;
export const MAX_TASKS = 2 ** 20;
/** Punished heights that one miner record remembers; each took a share of the stake, so few are left to take. */
export const MAX_SLASHED_HEIGHTS = 32;
/** Custodians of one key, and those of one ceremony on either side. */
export const MAX_CUSTODIANS = 64;
/** A record's padded payload; pulled in one frame. */
export const MAX_RECORD_BYTES = 256 * 1024;
/** Payloads are padded to a multiple of this: the length of what was erased must not tell a short answer. */
export const RECORD_STEP_BYTES = 1024;
/** Padded payloads of one block together: everyone fetches them before voting. */
export const MAX_RECORD_BYTES_PER_BLOCK = 4 * 1024 * 1024;
export const MAX_RECORDS = 2 ** 32;
export const MAX_REQUESTS = 2 ** 32;
/** Keys of custodians, and ceremonies for them. */
export const MAX_EPOCHS = 2 ** 16;
export const MAX_CEREMONIES = 2 ** 16;
/** Edits of one record: each writes its entry anew. */
export const MAX_EDITS = 1024;
