import * as fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { joinSidecar, type Sidecar, sidecarOpens, splitSidecar } from "../../crypto/record.ts";
import { fromHex, type Hash, toHex } from "../../types/primitives.ts";
import { diskError, errorCode } from "../store/disk.ts";

/**
 * Payloads of records, each a file of its own: this folder and memory are the only places where a payload and its salt lie, so that an
 * erasure is the unlinking of one file. Its name is `<id>.<cm>`: two transactions of one sender and nonce have the same label, and both
 * may be voted for at a height; and whether a file is what the state wants is known without opening it.
 */

export type Place = { readonly id: Hash; readonly cm: Hash };
export const placeName = ({ id, cm }: Place): string => `${toHex(id).slice(2)}.${toHex(cm).slice(2)}`;

const NAME = /^([0-9a-f]{64})\.([0-9a-f]{64})$/;
/** Writes under way at once. */
const WRITES = 16;

type Handle = { writeFile(bytes: Uint8Array): Promise<void>; sync(): Promise<void>; close(): Promise<void> };
/** The file calls that are used; tests hand in a disk that fails or loses power. */
export type FolderCalls = {
  mkdir(path: string, options: { recursive: true; mode: number }): Promise<string | undefined>;
  readdir(path: string): Promise<string[]>;
  open(path: string, flags: string, mode?: number): Promise<Handle>;
  readFile(path: string): Promise<Uint8Array>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
};

export type Edit = {
  readonly moves: readonly { readonly from: Place; readonly to: Place }[];
  readonly removals: readonly Place[];
};

export class RecordFiles {
  readonly #folder: string;
  readonly #calls: FolderCalls;
  /** id → names of its files' commitments: all in hexadecimal digits. */
  readonly #held = new Map<string, Set<string>>();
  #writes = 0;
  /** Changes of the folder happen one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(folder: string, calls: FolderCalls) {
    this.#folder = folder;
    this.#calls = calls;
  }

  /**
   * Opens the folder, or makes it; what a crash left of a write that never got its name is removed.
   * @throws PoflError READ_ONLY, DISK_FULL, DISK_FAILED, as every call
   */
  static async open(folder: string, calls: FolderCalls = fs): Promise<RecordFiles> {
    const files = new RecordFiles(folder, calls);
    await files.#disk(folder, async () => {
      const made = await calls.mkdir(folder, { recursive: true, mode: 0o700 });
      if (made !== undefined) await files.#sync(dirname(folder));
      const names = await calls.readdir(folder);
      for (const name of names) {
        const [, id, cm] = NAME.exec(name) ?? [];
        if (id && cm) files.#note(id, cm);
        else if (name.endsWith(".new")) await files.#unlink(name);
      }
      // Also what an unlink before the crash had not made lasting.
      await files.#sync(folder);
    });
    return files;
  }

  /** Whether there is a file that outlives a power failure. */
  has({ id, cm }: Place): boolean {
    return this.#held.get(digits(id))?.has(digits(cm)) ?? false;
  }

  /** Everything that is here. */
  held(): Place[] {
    return [...this.#held].flatMap(([id, cms]) => Array.from(cms, (cm) => ({ id: bytes(id), cm: bytes(cm) })));
  }

  /** What is here under an id. */
  heldUnder(id: Hash): Place[] {
    return Array.from(this.#held.get(digits(id)) ?? [], (cm) => ({ id, cm: bytes(cm) }));
  }

  /** The payload, if it opens the commitment (and has that padded length). A file that does not is removed: it must never be served. */
  async read(place: Place, length?: number): Promise<Sidecar | undefined> {
    if (!this.has(place)) return undefined;
    const found = await this.#read(place);
    if (found && sidecarOpens(found, place.cm, length ?? found.body.length)) return found;
    // Another write may have put a good one there meanwhile.
    if (!found || !sidecarOpens(found, place.cm, found.body.length)) {
      await this.#exclusive(async () => {
        const now = await this.#read(place);
        if (now && sidecarOpens(now, place.cm, now.body.length)) return;
        await this.#edit({ moves: [], removals: [place] });
      });
    }
    return undefined;
  }

  /**
   * Keeps payloads; all of them outlive a power failure when it resolves.
   * @param wanted asked for each when its turn has come: what was wanted before may have been erased since
   */
  async put(
    items: readonly { readonly place: Place; readonly sidecar: Sidecar }[],
    wanted: (place: Place) => boolean = () => true,
  ): Promise<void> {
    await this.#exclusive(async () => {
      const left = items.filter(({ place }) => !this.has(place) && wanted(place));
      if (left.length === 0) return;
      const next = left.values();
      const work = async () => {
        for (const { place, sidecar } of next) await this.#write(placeName(place), sidecar);
      };
      const workers = await Promise.allSettled(Array.from({ length: Math.min(WRITES, left.length) }, work));
      for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
      await this.#disk(this.#folder, () => this.#sync(this.#folder));
      for (const { place } of left) this.#note(digits(place.id), digits(place.cm));
    });
  }

  /** Moves and removes files, lasting when it resolves; what is gone already is no error. `plan` is asked when its turn has come. */
  async edit(plan: () => Edit): Promise<void> {
    await this.#exclusive(() => this.#edit(plan()));
  }

  async #edit({ moves, removals }: Edit): Promise<void> {
    if (moves.length + removals.length === 0) return;
    await this.#disk(this.#folder, async () => {
      for (const place of removals) await this.#unlink(placeName(place));
      for (const { from, to } of moves) {
        const paths = [from, to].map((place) => join(this.#folder, placeName(place))) as [string, string];
        await unlessGone(this.#calls.rename(...paths));
      }
      await this.#sync(this.#folder);
    });
    for (const place of removals) this.#forget(place);
    for (const { from, to } of moves) {
      this.#forget(from);
      this.#note(digits(to.id), digits(to.cm));
    }
  }

  async #read(place: Place): Promise<Sidecar | undefined> {
    const path = join(this.#folder, placeName(place));
    const found = await this.#disk(path, () => unlessGone(this.#calls.readFile(path)));
    return found && splitSidecar(found);
  }

  async #write(name: string, sidecar: Sidecar): Promise<void> {
    const path = join(this.#folder, name);
    const temporary = `${path}.${++this.#writes}.new`;
    const joined = joinSidecar(sidecar);
    try {
      await this.#disk(path, async () => {
        const file = await this.#calls.open(temporary, "wx", 0o600);
        try {
          await file.writeFile(joined);
          await file.sync();
        } finally {
          await file.close();
        }
        await this.#calls.rename(temporary, path);
      });
    } catch (error) {
      await this.#calls.unlink(temporary).catch(() => {});
      throw error;
    } finally {
      joined.fill(0);
    }
  }

  async #unlink(name: string): Promise<void> {
    await unlessGone(this.#calls.unlink(join(this.#folder, name)));
  }

  async #sync(folder: string): Promise<void> {
    const handle = await this.#calls.open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async #disk<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw diskError(error, path);
    }
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  #note(id: string, cm: string): void {
    const cms = this.#held.get(id) ?? new Set();
    this.#held.set(id, cms.add(cm));
  }

  #forget({ id, cm }: Place): void {
    const cms = this.#held.get(digits(id));
    cms?.delete(digits(cm));
    if (cms?.size === 0) this.#held.delete(digits(id));
  }
}

const digits = (hash: Hash): string => toHex(hash).slice(2);
const bytes = (hex: string): Hash => fromHex(`0x${hex}`);

async function unlessGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
