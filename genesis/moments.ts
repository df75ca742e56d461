/**
 * The second moment of fedadam is a square, up to 2^52, and is stored in one int32: as m · 4^e with m below 2^27, packed as
 * e · 2^27 + m. That keeps 25 significant bits or more, so that a decay of 0.9999 still moves it.
 */

const MANTISSA = 2 ** 27;

/** The largest value that can be stored and is not above `value`, a whole number below 2^53. */
export function packSquare(value: number): number {
  let mantissa = value;
  let exponent = 0;
  while (mantissa >= MANTISSA) {
    mantissa = Math.floor(mantissa / 4);
    exponent++;
  }
  return exponent * MANTISSA + mantissa;
}

export function unpackSquare(packed: number): number {
  return (packed % MANTISSA) * 4 ** Math.floor(packed / MANTISSA);
}
