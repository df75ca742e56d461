import type { Traffic } from "./types.ts";

export type Meters = { direct: Traffic; gossip: Traffic; blobs: Traffic; requests: Traffic };

export function createMeters(): Meters {
  const zero = (): Traffic => ({ in: 0, out: 0 });
  return { direct: zero(), gossip: zero(), blobs: zero(), requests: zero() };
}
