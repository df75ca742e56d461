import { z } from "zod";
import { blockId, type Header } from "../../../types/block.ts";
import { PoflError } from "../../../types/errors.ts";
import { fromHex, type Hash, type Height } from "../../../types/primitives.ts";
import type { NodeContext } from "../context.ts";
import { notFound } from "../errors.ts";

/** Parameters that several methods take. Hex may have capitals; results never do. */

const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-fA-F]{${2 * bytes}}$`), `must be 0x and ${2 * bytes} hexadecimal digits`)
    .transform((text) => fromHex(text));

export const hashParam = hex(32);
export const addressParam = hex(20);
export const heightParam = z.union([z.int().min(0), z.literal("latest")], 'must be a whole number or "latest"');

export const noParams = z.strictObject({});

/** The height meant: the head's for "latest" or nothing. @throws PoflError NOT_FOUND past the head, and for genesis */
export function heightOf(context: NodeContext, height: Height | "latest" | undefined): Height {
  const head = context.head().height;
  if (height === undefined || height === "latest") {
    if (head === 0) throw notFound("there is no block yet: the chain is at its genesis");
    return head;
  }
  if (height === 0) throw notFound("genesis is a file, not a block; blocks begin at height 1");
  if (height > head) throw notFound(`there is no block ${height} yet; the head is ${head}`);
  return height;
}

/** What the store must have at a height up to the head. @throws PoflError NOT_FOUND */
export function stored<T>(value: T | undefined, what: string, height: Height): T {
  if (value === undefined) throw notFound(`this node does not have ${what} of height ${height}`);
  return value;
}

export async function headerAt(context: NodeContext, height: Height): Promise<{ id: Hash; header: Header }> {
  const { store } = context;
  const found = await store.header(height);
  if (!found && height < store.base()) {
    throw notFound(
      `block ${height} is not here yet: this node began with a snapshot of height ${store.base()}, and fetches what was before from peers`,
    );
  }
  const header = stored(found, "the block", height);
  return { id: blockId(header), header };
}

/** @throws PoflError INVALID_PARAMS */
export function invalidParams(path: string, why: string): PoflError {
  return new PoflError("INVALID_PARAMS", `${path}: ${why}`, { path });
}
