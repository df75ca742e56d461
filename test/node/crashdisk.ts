import type { FolderCalls } from "../../node/records/files.ts";

/** A folder on a disk that can fail at any call, and lose at a power failure whatever was not synced. */

type Inode = { data: Uint8Array; synced: Uint8Array };

function fail(code: string): never {
  throw Object.assign(new Error(code), { code });
}

export class CrashDisk implements FolderCalls {
  /** Names as programs see them, and as they are on the platters. */
  #names = new Map<string, Inode>();
  #lasting = new Map<string, Inode>();
  calls = 0;
  /** The process dies in this call, counted from 1: it and all later ones do nothing. */
  diesAt = Number.POSITIVE_INFINITY;

  #call(): void {
    if (++this.calls >= this.diesAt) fail("EIO");
  }

  /**
   * The computer starts again. "synced": what was not synced is gone; "all": every name that was given or taken counts, though what was
   * written into files without a sync is gone.
   */
  restart(kept: "synced" | "all"): void {
    const names = new Map(kept === "synced" ? this.#lasting : this.#names);
    for (const inode of names.values()) inode.data = inode.synced;
    this.#names = names;
    this.#lasting = new Map(names);
    this.calls = 0;
    this.diesAt = Number.POSITIVE_INFINITY;
  }

  /** Base names of all files. */
  get files(): string[] {
    return Array.from(this.#names.keys(), (path) => path.slice(path.lastIndexOf("/") + 1)).sort();
  }

  /** All bytes that can be read from the disk, also of files that are open nowhere but not yet unlinked for good. */
  get content(): Buffer {
    return Buffer.concat([...this.#names.values(), ...this.#lasting.values()].flatMap((i) => [i.data, i.synced]));
  }

  /** Changes a file behind the program's back. */
  damage(name: string, change: (data: Uint8Array) => Uint8Array): void {
    for (const [path, inode] of this.#names) {
      if (path.endsWith(name)) inode.data = inode.synced = change(inode.data);
    }
  }

  place(path: string, data: Uint8Array): void {
    const inode = { data, synced: data };
    this.#names.set(path, inode);
    this.#lasting.set(path, inode);
  }

  async mkdir(): Promise<undefined> {
    this.#call();
  }

  async readdir(): Promise<string[]> {
    this.#call();
    return this.files;
  }

  async open(path: string, flags: string) {
    this.#call();
    if (flags === "r") {
      return {
        writeFile: async () => fail("EBADF"),
        sync: async () => {
          this.#call();
          this.#lasting = new Map(this.#names);
        },
        close: async () => {},
      };
    }
    if (this.#names.has(path)) fail("EEXIST");
    const inode: Inode = { data: new Uint8Array(0), synced: new Uint8Array(0) };
    this.#names.set(path, inode);
    return {
      writeFile: async (bytes: Uint8Array) => {
        // Half of it arrives even if the process dies.
        inode.data = bytes.slice(0, bytes.length >> 1);
        this.#call();
        inode.data = bytes.slice();
      },
      sync: async () => {
        this.#call();
        inode.synced = inode.data;
      },
      close: async () => this.#call(),
    };
  }

  async readFile(path: string): Promise<Uint8Array> {
    this.#call();
    return (this.#names.get(path) ?? fail("ENOENT")).data.slice();
  }

  async rename(from: string, to: string): Promise<void> {
    this.#call();
    this.#names.set(to, this.#names.get(from) ?? fail("ENOENT"));
    this.#names.delete(from);
  }

  async unlink(path: string): Promise<void> {
    this.#call();
    if (!this.#names.delete(path)) fail("ENOENT");
  }
}
