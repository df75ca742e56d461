import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { blobRoot } from "../../crypto/blob.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash, toHex } from "../../types/primitives.ts";
import { diskError, errorCode, onDisk } from "./disk.ts";

/** Updates and models by the root of their bytes (crypto/blob.ts). What comes out is what the root names, always. */
export interface BlobStore {
  /** Keeps `bytes`, durable when it resolves; returns their root. @throws PoflError DISK_FULL, READ_ONLY, DISK_FAILED */
  put(bytes: Uint8Array): Promise<Hash>;
  /**
   * The blob, or undefined if there is none; with `size`, only one of that many bytes. A file that does not match its name
   * is set aside as `<root>.damaged`, told to `onDamaged`, and is missing from then on: it can be pulled from peers again.
   * @throws PoflError DISK_FAILED
   */
  get(root: Hash, size?: number): Promise<Uint8Array | undefined>;
  has(root: Hash): boolean;
  /** Deletes every blob for which `keep` says no; returns how many. */
  prune(keep: (rootHex: string) => boolean): Promise<number>;
  /** `0x…` names of all blobs. */
  list(): string[];
  /** Bytes of all blobs. */
  readonly bytes: number;
}

const NAME = /^[0-9a-f]{64}$/;
const nameOf = (root: Hash): string => toHex(root).slice(2);

/**
 * Blobs as files of `folder`, which it makes if need be.
 * @throws PoflError READ_ONLY, DISK_FULL, DISK_FAILED
 */
export function openBlobStore(folder: string, onDamaged: (path: string) => void = () => {}): BlobStore {
  return onDisk(folder, () => {
    mkdirSync(folder, { recursive: true });
    const sizes = new Map<string, number>();
    for (const file of readdirSync(folder)) {
      // What a crash left of a write that never got its name.
      if (file.endsWith(".new")) rmSync(join(folder, file), { force: true });
      else if (NAME.test(file)) sizes.set(file, statSync(join(folder, file)).size);
    }
    return new FileBlobs(folder, sizes, onDamaged);
  });
}

/**
 * Reads a blob of `folder` and leaves the folder as it is, for whoever only looks at it. Undefined if it is not there.
 * @throws PoflError BLOB_DAMAGED naming a file that does not match its name; DISK_FAILED
 */
export async function readBlob(folder: string, root: Hash): Promise<Uint8Array | undefined> {
  const path = join(folder, nameOf(root));
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw diskError(error, path);
  }
  if (bytesEqual(blobRoot(bytes), root)) return bytes;
  throw new PoflError(
    "BLOB_DAMAGED",
    `${path} does not match its name; delete it: it is fetched from peers if needed`,
    {
      path,
    },
  );
}

class FileBlobs implements BlobStore {
  private readonly folder: string;
  private readonly sizes: Map<string, number>;
  private readonly onDamaged: (path: string) => void;
  private writes = 0;

  constructor(folder: string, sizes: Map<string, number>, onDamaged: (path: string) => void) {
    this.folder = folder;
    this.sizes = sizes;
    this.onDamaged = onDamaged;
  }

  get bytes(): number {
    let sum = 0;
    for (const size of this.sizes.values()) sum += size;
    return sum;
  }

  async put(bytes: Uint8Array): Promise<Hash> {
    const root = blobRoot(bytes);
    const name = nameOf(root);
    if (this.sizes.get(name) === bytes.length) return root;
    const path = join(this.folder, name);
    // Two writes of one blob may run at once: each has a temporary file of its own.
    const temporary = `${path}.${++this.writes}.new`;
    try {
      await writeSynced(temporary, bytes);
      await rename(temporary, path);
      await syncPath(this.folder);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw diskError(error, path);
    }
    this.sizes.set(name, bytes.length);
    return root;
  }

  async get(root: Hash, size?: number): Promise<Uint8Array | undefined> {
    const name = nameOf(root);
    const stored = this.sizes.get(name);
    if (stored === undefined) return undefined;
    const path = join(this.folder, name);
    try {
      const bytes = await readBlob(this.folder, root);
      if (bytes) return size === undefined || size === bytes.length ? bytes : undefined;
      this.sizes.delete(name);
    } catch (error) {
      if (!isPoflError(error, "BLOB_DAMAGED")) throw error;
      this.sizes.delete(name);
      onDisk(path, () => renameSync(path, `${path}.damaged`));
      this.onDamaged(`${path}.damaged`);
    }
    return undefined;
  }

  has(root: Hash): boolean {
    return this.sizes.has(nameOf(root));
  }

  list(): string[] {
    return Array.from(this.sizes.keys(), (name) => `0x${name}`);
  }

  async prune(keep: (rootHex: string) => boolean): Promise<number> {
    const gone = [...this.sizes.keys()].filter((name) => !keep(`0x${name}`));
    for (const name of gone) {
      const path = join(this.folder, name);
      try {
        await rm(path, { force: true });
      } catch (error) {
        throw diskError(error, path);
      }
      this.sizes.delete(name);
    }
    return gone.length;
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file: FileHandle = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncPath(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Blobs in memory, for nodes without a disk. */
export function memoryBlobStore(): BlobStore {
  const blobs = new Map<string, Uint8Array>();
  return {
    async put(bytes) {
      const root = blobRoot(bytes);
      blobs.set(toHex(root), new Uint8Array(bytes));
      return root;
    },
    async get(root, size) {
      const bytes = blobs.get(toHex(root));
      return size === undefined || size === bytes?.length ? bytes : undefined;
    },
    has: (root) => blobs.has(toHex(root)),
    list: () => [...blobs.keys()],
    async prune(keep) {
      const gone = [...blobs.keys()].filter((root) => !keep(root));
      for (const root of gone) blobs.delete(root);
      return gone.length;
    },
    get bytes() {
      let sum = 0;
      for (const bytes of blobs.values()) sum += bytes.length;
      return sum;
    },
  };
}
