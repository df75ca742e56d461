import { blockId, Header } from "../../types/block.ts";
import { PoflError } from "../../types/errors.ts";
import { bytesEqual, type Hash } from "../../types/primitives.ts";
import { layout } from "./layout.ts";
import type { Records } from "./records.ts";

/** LevelDB opens a log with a flipped bit and leaves out what it can't read, without an error: so the chain is walked. */

export type StoredHead = { readonly height: number; readonly id: Hash };
/** Heights of which the block is missing, damaged, or not the parent of the one above. Inclusive. */
export type Hole = {
  readonly from: number;
  readonly to: number;
  readonly why: "missing" | "damaged" | "not linked" | "before the snapshot";
};

const HEADER_BYTES = Header.fixedSize as number;
/** CertifiedBlock = two offsets, then the Block, which begins with its Header. */
const HEADER_AT = 8;

/** Where a walk begins, or ended: the next block down, and its id if the one above could name it. */
export type WalkPoint = { readonly height: number; readonly id: Hash | undefined };

export type Walk = {
  /** Blocks to look at; left out = all. */
  readonly depth?: number | undefined;
  /** Blocks below were not here when the home began. */
  readonly base: number;
  /** Asked before each block; false ends the walk there. */
  readonly goOn?: (() => boolean) | undefined;
};

/** Walks down, expecting of each block the id that the one above names as its parent. */
export async function findHoles(
  disk: Records,
  start: WalkPoint,
  { depth = Number.POSITIVE_INFINITY, base, goOn = () => true }: Walk,
): Promise<{ readonly holes: Hole[]; readonly below: WalkPoint }> {
  const holes: { from: number; to: number; why: Hole["why"] }[] = [];
  let expected = start.id;
  let height = start.height;
  for (; height > Math.max(0, start.height - depth) && goOn(); height--) {
    let why: Hole["why"] | undefined;
    let header: Header | undefined;
    try {
      header = await readHeader(disk, height);
      if (!header) why = height < base ? "before the snapshot" : "missing";
      else if (header.height !== height || (expected && !bytesEqual(blockId(header), expected))) why = "not linked";
    } catch (error) {
      if (!(error instanceof PoflError) || error.code !== "CORRUPT_RECORD") throw error;
      why = "damaged";
    }
    // Below a hole nothing says which id to expect: the walk goes on from whatever block is there.
    expected = why === undefined ? header?.parent : undefined;
    if (why === undefined) continue;
    const last = holes.at(-1);
    if (last?.why === why && last.from === height + 1) last.from = height;
    else holes.push({ from: height, to: height, why });
  }
  return { holes, below: { height, id: expected } };
}

/** "4 to 6 (missing), 2 (damaged) and 3 more" */
export function holesText(holes: readonly Hole[]): string {
  const list = holes.slice(0, 5).map((h) => `${h.from === h.to ? h.from : `${h.from} to ${h.to}`} (${h.why})`);
  return `${list.join(", ")}${holes.length > 5 ? ` and ${holes.length - 5} more` : ""}`;
}

export function holeError(path: string, holes: readonly Hole[], head: StoredHead): PoflError {
  const remedy =
    holes[0]?.to === head.height
      ? "The head itself is gone: move it away and start again: the chain is fetched from peers (the keys and the signer's " +
        "state are kept elsewhere and must stay)"
      : "Start the node and leave it running: it fetches them from peers";
  return new PoflError("DATABASE_HOLE", `${path} lost blocks: ${holesText(holes)}. ${remedy}`, {
    from: holes.at(-1)?.from ?? 0,
    to: holes[0]?.to ?? 0,
    holes: holes.length,
  });
}

export async function readHeader(disk: Records, height: number): Promise<Header | undefined> {
  const bytes = await disk.get(layout.block(height));
  return bytes && Header.deserialize(bytes.subarray(HEADER_AT, HEADER_AT + HEADER_BYTES));
}
