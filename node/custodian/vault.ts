import { readdirSync } from "node:fs";
import { join } from "node:path";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { taggedHash } from "../../crypto/hash.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual } from "../../types/primitives.ts";
import { type DiskCalls, onDisk, realDisk, replaceFile, syncFolder } from "../store/disk.ts";

/**
 * Secrets of a custodian on disk, sealed under its custodian key.
 *
 *   file = MAGIC (16 bytes) ‖ mark of the key (8) ‖ nonce (24) ‖ XChaCha20-Poly1305(contents; associated data: the file's name)
 *
 * The mark tells another key from damage. A name that is under the seal can't be given to another file's contents.
 */

const MAGIC = new TextEncoder().encode("pofl-vault/1\n\0\0\0");
const MARK_BYTES = 8;
const NONCE_BYTES = 24;
/** Holds the names of all files, sealed like them: so one that is gone is missed. */
const NAMES = ".names";
const NAME = /^[a-z][a-z0-9-]{0,99}$/;
/** What `replaceFile` leaves when a crash comes before its rename: the old file still counts. */
const UNFINISHED = /\.new$/;

export type Vault = {
  readonly folder: string;
  /** Names of what it holds, sorted. */
  names(): readonly string[];
  /** @throws PoflError VAULT_DAMAGED, VAULT_WRONG_KEY */
  read(name: string): Uint8Array | undefined;
  /** Puts it in place of what was there, wholly or not at all; durable when it returns. @throws PoflError DISK_FULL, READ_ONLY, DISK_FAILED */
  write(name: string, contents: Uint8Array): void;
  /** Durable when it returns; nothing happens when there is none. The disk itself may remember. @throws as `write` */
  remove(name: string): void;
};

/**
 * Opens the folder, or makes it, and reads every file once: a share that can't be read must be known before it is needed.
 * @param custodianSecret seed of the custodian key
 * @param random cryptographically secure
 * @throws PoflError VAULT_DAMAGED, VAULT_WRONG_KEY, DISK_FULL, READ_ONLY, DISK_FAILED
 */
export function openVault(
  folder: string,
  custodianSecret: Uint8Array,
  random: (bytes: number) => Uint8Array,
  disk: DiskCalls = realDisk,
): Vault {
  const key = taggedHash("pofl/custodian/vault/1", custodianSecret);
  const mark = taggedHash("pofl/custodian/vault/mark/1", key).subarray(0, MARK_BYTES);
  const pathOf = (name: string) => {
    if (!NAME.test(name)) throw new RangeError(`"${name}" is no name of the vault`);
    return join(folder, name);
  };
  const sealed = (name: string, nonce: Uint8Array) => xchacha20poly1305(key, nonce, new TextEncoder().encode(name));

  const open = (name: string, file: Uint8Array): Uint8Array => {
    const path = join(folder, name);
    const markAt = MAGIC.length;
    const nonceAt = markAt + MARK_BYTES;
    const sealAt = nonceAt + NONCE_BYTES;
    const damaged = (what: string, cause?: unknown): PoflError =>
      new PoflError(
        "VAULT_DAMAGED",
        `${path}: damaged: ${what}. Restore the file from a copy. Without one move it out of the folder: this custodian then lacks what was in it, and a share of the key comes back only by handing the key over anew (docs/operating.md, "Custodians")`,
        { path },
        { cause },
      );
    if (file.length < sealAt || !bytesEqual(file.subarray(0, markAt), MAGIC)) throw damaged("it is no vault file");
    if (!bytesEqual(file.subarray(markAt, nonceAt), mark)) {
      throw new PoflError(
        "VAULT_WRONG_KEY",
        `${path}: sealed under another custodian key than that in config/custodian_key; put that key back, or move the folder away if this node is to be another custodian`,
        { path },
      );
    }
    try {
      return sealed(name, file.subarray(nonceAt, sealAt)).decrypt(file.subarray(sealAt));
    } catch (cause) {
      throw damaged("the seal does not hold", cause);
    }
  };

  const load = (path: string, name: string): Uint8Array | undefined => {
    const file = onDisk(path, () => {
      try {
        return new Uint8Array(disk.readFileSync(path));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    });
    return file && open(name, file);
  };
  const store = (path: string, name: string, contents: Uint8Array): void => {
    const nonce = random(NONCE_BYTES);
    const file = Buffer.concat([MAGIC, mark, nonce, sealed(name, nonce).encrypt(contents)]);
    onDisk(path, () => replaceFile(disk, path, file));
  };
  const drop = (name: string): void => {
    const path = join(folder, name);
    onDisk(path, () => {
      try {
        disk.unlinkSync(path);
      } catch (error) {
        // Gone already; a crash may have come before the folder was synced.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
      syncFolder(disk, folder);
    });
  };
  let known: ReadonlySet<string> = new Set();
  const remember = (names: ReadonlySet<string>): void => {
    if (names.size === 0) drop(NAMES);
    else store(join(folder, NAMES), NAMES, new TextEncoder().encode([...names].sort().join("\n")));
    known = names;
  };

  const vault: Vault = {
    folder,
    names: () =>
      onDisk(folder, () =>
        readdirSync(folder)
          .filter((name) => NAME.test(name))
          .sort(),
      ),
    read: (name) => load(pathOf(name), name),
    write(name, contents) {
      const path = pathOf(name);
      store(path, name, contents);
      // After the file: a crash in between leaves one that no list names yet, which is no loss.
      if (!known.has(name)) remember(new Set([...known, name]));
    },
    remove(name) {
      pathOf(name);
      if (known.has(name)) remember(new Set([...known].filter((other) => other !== name)));
      drop(name);
    },
  };

  onDisk(folder, () => {
    disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(folder)) if (UNFINISHED.test(name)) disk.unlinkSync(join(folder, name));
  });
  const here = vault.names();
  for (const name of here) vault.read(name);
  const list = load(join(folder, NAMES), NAMES);
  known = new Set(
    list
      ? new TextDecoder()
          .decode(list)
          .split("\n")
          .filter((name) => name !== "")
      : [],
  );
  const gone = [...known].find((name) => !here.includes(name));
  if (gone !== undefined) {
    const path = join(folder, gone);
    throw new PoflError(
      "VAULT_DAMAGED",
      `${path}: is missing, though it was kept here. Restore the file from a copy. Without one delete ${join(folder, NAMES)}: this custodian then lacks what was in it, and a share of the key comes back only by handing the key over anew (docs/operating.md, "Custodians")`,
      { path },
    );
  }
  if (here.length !== known.size) remember(new Set(here));
  return vault;
}
