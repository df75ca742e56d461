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
  /** `0x…` names of all blobs, or of those that were put before `time`, in milliseconds since 1970. */
  list(time?: number): string[];
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
    const files = new Map<string, Stored>();
    for (const file of readdirSync(folder)) {
      // What a crash left of a write that never got its name.
      if (file.endsWith(".new")) rmSync(join(folder, file), { force: true });
      else if (NAME.test(file)) {
        const { size, mtimeMs } = statSync(join(folder, file));
        files.set(file, { size, time: mtimeMs });
      }
    }
    return new FileBlobs(folder, files, onDamaged);
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

/** Bytes, and when it was put. */
type Stored = { readonly size: number; readonly time: number };

class FileBlobs implements BlobStore {
  private readonly folder: string;
  private readonly files: Map<string, Stored>;
  private readonly onDamaged: (path: string) => void;
  private writes = 0;

  constructor(folder: string, files: Map<string, Stored>, onDamaged: (path: string) => void) {
    this.folder = folder;
    this.files = files;
    this.onDamaged = onDamaged;
  }

  get bytes(): number {
    let sum = 0;
    for (const { size } of this.files.values()) sum += size;
    return sum;
  }

  async put(bytes: Uint8Array): Promise<Hash> {
    const root = blobRoot(bytes);
    const name = nameOf(root);
    if (this.files.get(name)?.size === bytes.length) return root;
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
    this.files.set(name, { size: bytes.length, time: Date.now() });
    return root;
  }

  async get(root: Hash, size?: number): Promise<Uint8Array | undefined> {
    const name = nameOf(root);
    if (!this.files.has(name)) return undefined;
    const path = join(this.folder, name);
    try {
      const bytes = await readBlob(this.folder, root);
      if (bytes) return size === undefined || size === bytes.length ? bytes : undefined;
      this.files.delete(name);
    } catch (error) {
      if (!isPoflError(error, "BLOB_DAMAGED")) throw error;
      this.files.delete(name);
      onDisk(path, () => renameSync(path, `${path}.damaged`));
      this.onDamaged(`${path}.damaged`);
    }
    return undefined;
  }

  has(root: Hash): boolean {
    return this.files.has(nameOf(root));
  }

  list(time = Number.POSITIVE_INFINITY): string[] {
    return [...this.files].flatMap(([name, stored]) => (stored.time < time ? [`0x${name}`] : []));
  }

  async prune(keep: (rootHex: string) => boolean): Promise<number> {
    const gone = [...this.files.keys()].filter((name) => !keep(`0x${name}`));
    for (const name of gone) {
      const path = join(this.folder, name);
      try {
        await rm(path, { force: true });
      } catch (error) {
        throw diskError(error, path);
      }
      this.files.delete(name);
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
export function memoryBlobStore(now: () => number = Date.now): BlobStore {
  const blobs = new Map<string, Uint8Array>();
  const times = new Map<string, number>();
  return {
    async put(bytes) {
      const root = blobRoot(bytes);
      const name = toHex(root);
      if (!blobs.has(name)) times.set(name, now());
      blobs.set(name, new Uint8Array(bytes));
      return root;
    },
    async get(root, size) {
      const bytes = blobs.get(toHex(root));
      return size === undefined || size === bytes?.length ? bytes : undefined;
    },
    has: (root) => blobs.has(toHex(root)),
    list: (time = Number.POSITIVE_INFINITY) => [...blobs.keys()].filter((name) => (times.get(name) as number) < time),
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
