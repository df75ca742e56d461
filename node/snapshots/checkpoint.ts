import type { Checkpoint } from "../../consensus/light/chain.ts";
import { fromHex, HASH_BYTES } from "../../types/primitives.ts";

/** How people write a block that they trust. */

const CHECKPOINT = /^([1-9]\d{0,14}):(0x[0-9a-fA-F]{64})$/;
export const CHECKPOINT_FORM = "HEIGHT:0xHASH, such as 120000:0x and 64 hexadecimal digits; heights begin at 1";

/** Undefined if it is none. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const match = CHECKPOINT.exec(text);
  return match ? { height: Number(match[1]), id: fromHex(match[2] as string, HASH_BYTES) } : undefined;
}
