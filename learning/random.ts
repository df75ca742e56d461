import { createHash } from "node:crypto";

/**
 * A small seeded generator: xoshiro128** (Blackman and Vigna 2018), its state taken from SHA-256 of the JSON of the parts of the
 * seed. The same parts give the same sequence on every engine: only 32-bit integer arithmetic, and no Math function but imul.
 * Not for secrets.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(...seed: readonly (string | number)[]) {
    const digest = createHash("sha256").update("pofl/random/1").update(JSON.stringify(seed)).digest();
    this.#a = digest.readInt32LE(0);
    this.#b = digest.readInt32LE(4);
    this.#c = digest.readInt32LE(8);
    // All zero is the one state that the generator never leaves.
    this.#d = digest.readInt32LE(12) | 1;
  }

  /** 32 random bits as an unsigned number. */
  u32(): number {
    const five = Math.imul(this.#b, 5);
    const result = Math.imul((five << 7) | (five >>> 25), 9);
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result >>> 0;
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.u32() / 4294967296;
  }

  /** Uniform whole number in [0, n), 1 ≤ n ≤ 2^32, without bias: draws beyond the last whole multiple of n are thrown away. */
  below(n: number): number {
    const limit = 4294967296 - (4294967296 % n);
    let r = this.u32();
    while (r >= limit) r = this.u32();
    return r % n;
  }

  /**
   * Mean 0, variance 1: the sum of twelve uniforms less 6. Close to normal within ±3, never beyond ±6; unlike Box-Muller it needs
   * no logarithm or cosine, so that generated files are the same bytes on every engine.
   */
  normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.uniform();
    return sum;
  }

  /** Fisher-Yates, in place. */
  shuffle(indices: Uint32Array): Uint32Array {
    for (let i = indices.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = indices[i]!;
      indices[i] = indices[j]!;
      indices[j] = kept;
    }
    return indices;
  }
}
