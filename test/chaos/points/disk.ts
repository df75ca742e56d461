import { dirname } from "node:path";
import type { DiskCalls } from "../../../node/store/disk.ts";

/**
 * Files of one machine in memory, as its programs see them and as they are on the platters. Every call that changes something asks `effect`
 * first, which may let the machine die before it, in the middle of it or after it, or the call fail.
 */

export type Fault =
  | { readonly kind: "before" }
  | { readonly kind: "after" }
  /** Of a write: only so many of its bytes, then the machine dies. */
  | { readonly kind: "torn"; readonly bytes: number }
  /** The call fails and the program lives on to see it; of a write, `bytes` of it have been written. */
  | { readonly kind: "fails"; readonly code: "EIO" | "ENOSPC"; readonly bytes: number };

export type Effect = { readonly op: string; readonly path: string; readonly bytes: number };
/** What becomes of an effect; undefined = it happens. */
export type Gate = (effect: Effect) => Fault | undefined;
/** What outlives a crash: everything that was written ("kill"), or only what was synced ("power"). */
export type Loss = "kill" | "power";

type Inode = { data: Buffer; synced: Buffer };

const fail = (code: string): never => {
  throw Object.assign(new Error(code), { code });
};

export class MemoryDisk {
  #names = new Map<string, Inode>();
  #lasting = new Map<string, Inode>();
  readonly #open = new Map<number, { path: string; inode: Inode | undefined; append: boolean; at: number }>();
  #fd = 3;
  readonly #gate: Gate;
  readonly #die: () => void;
  readonly calls: DiskCalls;
  /** A machine without power does nothing, whatever its programs still try. */
  dead = false;

  constructor(gate: Gate, die: () => void) {
    this.#gate = gate;
    this.#die = die;
    this.calls = this.#make() as unknown as DiskCalls;
  }

  bytes(path: string): Buffer | undefined {
    return this.#names.get(path)?.data;
  }

  put(path: string, data: Buffer): void {
    const inode = { data, synced: data };
    this.#names.set(path, inode);
    this.#lasting.set(path, inode);
  }

  restart(loss: Loss): void {
    if (loss === "power") {
      this.#names = new Map(this.#lasting);
      for (const inode of this.#names.values()) inode.data = inode.synced;
    } else {
      for (const inode of this.#names.values()) inode.synced = inode.data;
      this.#lasting = new Map(this.#names);
    }
    this.#open.clear();
    this.dead = false;
  }

  /** Runs an effect through the gate. `part` does the first bytes of it. */
  #effect(op: string, path: string, length: number, part: (bytes: number) => void): void {
    if (this.dead) return;
    const fault = this.#gate({ op, path, bytes: length });
    if (this.dead) return;
    switch (fault?.kind) {
      case "before":
        return this.#die();
      case "torn":
        part(fault.bytes);
        return this.#die();
      case "after":
        part(length);
        return this.#die();
      case "fails":
        part(fault.bytes);
        return fail(fault.code);
      case undefined:
        part(length);
    }
  }

  #make() {
    const opened = (fd: number) => this.#open.get(fd) ?? fail("EBADF");
    return {
      mkdirSync: () => undefined,
      readFileSync: (path: string) => Buffer.from(this.#names.get(path)?.data ?? fail("ENOENT")),
      openSync: (path: string, flags: string) => {
        const fd = this.#fd++;
        if (flags === "w") {
          this.#effect("create", path, 1, (done) => {
            if (done > 0) this.#names.set(path, { data: Buffer.alloc(0), synced: Buffer.alloc(0) });
          });
        }
        // A folder has no inode of its own here: syncing it makes names lasting.
        this.#open.set(fd, { path, inode: this.#names.get(path), append: flags === "a", at: 0 });
        return fd;
      },
      closeSync: (fd: number) => void this.#open.delete(fd),
      writeSync: (fd: number, bytes: Uint8Array, offset = 0, length = bytes.length - offset) => {
        const file = opened(fd);
        const { inode } = file;
        if (!inode) return this.dead ? length : fail("EISDIR");
        this.#effect("write", file.path, length, (done) => {
          const at = file.append ? inode.data.length : file.at;
          const slice = bytes.subarray(offset, offset + done);
          inode.data = Buffer.concat([inode.data.subarray(0, at), slice, inode.data.subarray(at + slice.length)]);
          file.at = at + done;
        });
        return length;
      },
      fsyncSync: (fd: number) => {
        const { path, inode } = opened(fd);
        this.#effect("fsync", path, 1, (done) => {
          if (done === 0) return;
          if (inode) inode.synced = inode.data;
          else {
            for (const [name, node] of this.#names) if (dirname(name) === path) this.#lasting.set(name, node);
            for (const name of this.#lasting.keys()) {
              if (dirname(name) === path && !this.#names.has(name)) this.#lasting.delete(name);
            }
          }
        });
      },
      renameSync: (from: string, to: string) =>
        this.#effect("rename", to, 1, (done) => {
          if (done === 0) return;
          this.#names.set(to, this.#names.get(from) ?? fail("ENOENT"));
          this.#names.delete(from);
        }),
      unlinkSync: (path: string) =>
        this.#effect("unlink", path, 1, (done) => void (done > 0 && this.#names.delete(path))),
      ftruncateSync: (fd: number, length: number) => {
        const { path, inode } = opened(fd);
        this.#effect("truncate", path, 1, (done) => {
          if (inode && done > 0) inode.data = inode.data.subarray(0, length);
        });
      },
    };
  }
}
