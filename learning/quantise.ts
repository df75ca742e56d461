import { MAX_LANE } from "../genesis/model.ts";
import { PoflError } from "../types/errors.ts";
import type { Random } from "./random.ts";

/** Euclidean norm, summed in float64. */
export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return Math.sqrt(sum);
}

/**
 * The factor that brings a vector of norm `length` within `bound`.
 * @throws PoflError TRAINING_DIVERGED when the norm is not finite
 */
export function clipFactor(length: number, bound: number | undefined): number {
  if (!Number.isFinite(length)) {
    throw new PoflError(
      "TRAINING_DIVERGED",
      "the update is not finite: training diverged; lower the task's learningRate",
    );
  }
  return bound !== undefined && length > bound ? bound / length : 1;
}

/**
 * delta (real units) → int16 lanes, little-endian, two bytes each: lane = delta · 2^scaleBits / 2^exponent, rounded up with the
 * probability of its fraction and else down (unbiased), saturated at ±MAX_LANE.
 * @throws PoflError TRAINING_DIVERGED
 */
export function quantise(delta: Float32Array, scaleBits: number, exponent: number, random: Random): Uint8Array {
  const blob = new Uint8Array(2 * delta.length);
  const scale = 2 ** (scaleBits - exponent);
  for (let i = 0; i < delta.length; i++) {
    const exact = delta[i]! * scale;
    if (!Number.isFinite(exact)) clipFactor(exact, undefined);
    const floor = Math.floor(exact);
    const rounded = random.uniform() < exact - floor ? floor + 1 : floor;
    const lane = Math.max(-MAX_LANE, Math.min(MAX_LANE, rounded));
    blob[2 * i] = lane & 0xff;
    blob[2 * i + 1] = (lane >> 8) & 0xff;
  }
  return blob;
}

/** The lanes of a blob; a cut last byte is left out (such a blob is malformed anyway). */
export function dequantise(blob: Uint8Array, scaleBits: number, exponent: number): Float32Array {
  const unit = 2 ** (exponent - scaleBits);
  return Float32Array.from(
    { length: blob.length >> 1 },
    (_, i) => (((blob[2 * i + 1]! << 24) >> 16) | blob[2 * i]!) * unit,
  );
}

/** The global model in float32: exact up to ±2^24 units of 2^-scaleBits, beyond that the nearest float32. */
export function dequantiseModel(model: Int32Array, scaleBits: number): Float32Array {
  const unit = 2 ** -scaleBits;
  return Float32Array.from(model, (m) => m * unit);
}

/** A local model as the chain would store it, for comparisons: the nearest whole units, saturated at int32. */
export function quantiseModel(parameters: Float32Array, scaleBits: number): Int32Array {
  const scale = 2 ** scaleBits;
  return Int32Array.from(parameters, (p) => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.round(p * scale))));
}
