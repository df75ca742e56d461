import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MAX_LANE } from "../../genesis/model.ts";
import { dequantise, dequantiseModel, quantise, quantiseModel } from "../../learning/quantise.ts";
import { Random } from "../../learning/random.ts";
import { isPoflError } from "../../types/errors.ts";

test("random: the sequence is fixed for ever, since cohorts and splits hang on it", () => {
  const r = new Random("vector", 1);
  assert.equal([r.u32(), r.u32(), r.below(10), r.below(10)], [2922689704, 2655687743, 6, 1]);
  const counts = new Uint32Array(5);
  for (let i = 0; i < 50_000; i++) counts[r.below(5)]!++;
  for (const c of counts) assert.ok(Math.abs(c - 10_000) < 450, `${c}`);
  let [sum, squares] = [0, 0];
  for (let i = 0; i < 50_000; i++) {
    const z = r.normal();
    sum += z;
    squares += z * z;
  }
  assert.ok(Math.abs(sum / 50_000) < 0.02 && Math.abs(squares / 50_000 - 1) < 0.03);
});

test("lanes: within one unit of the exact value, saturated at ±2047, whole values untouched", () => {
  const value = fc.float({ noNaN: true, min: -64, max: 64 });
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 40 }), fc.nat(20), fc.nat(99), (values, exponent, seed) => {
      const blob = quantise(Float32Array.from(values), 20, exponent, new Random(seed));
      assert.is(blob.length, 2 * values.length);
      const lanes = dequantise(blob, 0, 0);
      lanes.forEach((lane, i) => {
        const exact = values[i]! * 2 ** (20 - exponent);
        const bounded = Math.max(-MAX_LANE, Math.min(MAX_LANE, exact));
        assert.ok(
          Number.isInteger(lane) && Math.abs(lane) <= MAX_LANE && Math.abs(lane - bounded) < 1,
          `${lane} for ${exact}`,
        );
      });
    }),
  );
});

test("stochastic rounding is unbiased, of either sign", () => {
  for (const exact of [0.25, 0.9, -0.1, -3.75, 1000.5]) {
    const n = 20_000;
    const lanes = dequantise(quantise(new Float32Array(n).fill(exact), 0, 0, new Random("unbiased")), 0, 0);
    const mean = lanes.reduce((a, b) => a + b, 0) / n;
    // Five standard errors of a coin with the value's fraction.
    assert.ok(Math.abs(mean - exact) < 5 * 0.5 * Math.sqrt(1 / n), `${mean} for ${exact}`);
  }
});

test("the same seed gives the same bytes, little-endian two's complement", () => {
  const delta = Float32Array.of(-1, 2047, -2047, 9999, 258);
  assert.equal([...quantise(delta, 0, 0, new Random(1))], [255, 255, 255, 7, 1, 248, 255, 7, 2, 1]);
  const fraction = Float32Array.from({ length: 50 }, (_, i) => i / 7);
  assert.equal(quantise(fraction, 0, 0, new Random(5)), quantise(fraction, 0, 0, new Random(5)));
});

test("a diverged update is refused with its reason", () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(
      () => quantise(Float32Array.of(0, bad), 20, 3, new Random(1)),
      (e: unknown) => isPoflError(e, "TRAINING_DIVERGED"),
    );
  }
});

test("models: fixed point to float32 and back, exact up to 24 bits", () => {
  const units = fc.integer({ min: -(2 ** 24), max: 2 ** 24 });
  fc.assert(
    fc.property(fc.array(units), fc.integer({ min: 8, max: 24 }), (values, bits) => {
      const model = Int32Array.from(values);
      assert.equal(quantiseModel(dequantiseModel(model, bits), bits), model);
    }),
  );
  assert.equal([...quantiseModel(Float32Array.of(1e30, -1e30), 20)], [2 ** 31 - 1, -(2 ** 31)]);
});

test.run();
