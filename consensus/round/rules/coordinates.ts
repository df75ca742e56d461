import type { Combination, Entrants } from "./rule.ts";
import { toleranceAmong } from "./rule.ts";

/** Rules that take each coordinate by itself: its values are sorted and the mean is taken of a range in the middle. */

/** Puts the values of coordinate k into the column. */
export type ReadColumn = (column: Int32Array, k: number) => void;

/** Per coordinate, the sum of the sorted values from index `from` up to, not including, `to`. */
export function orderedSums(n: number, d: number, read: ReadColumn, from: number, to: number): Float64Array {
  const sums = new Float64Array(d);
  const column = new Int32Array(n);
  for (let k = 0; k < d; k++) {
    read(column, k);
    insertionSort(column);
    let sum = 0;
    for (let i = from; i < to; i++) sum += column[i] as number;
    sums[k] = sum;
  }
  return sums;
}

/** Columns are short: one value per institution. */
function insertionSort(column: Int32Array): void {
  for (let i = 1; i < column.length; i++) {
    const value = column[i] as number;
    let j = i - 1;
    for (; j >= 0 && (column[j] as number) > value; j--) column[j + 1] = column[j] as number;
    column[j + 1] = value;
  }
}

export function lanesColumn({ parts }: Pick<Entrants, "parts">): ReadColumn {
  const lanes = parts.map((p) => p.lanes);
  return (column, k) => {
    for (let i = 0; i < lanes.length; i++) column[i] = (lanes[i] as Int16Array)[k] as number;
  };
}

/** Mean of what is left of n values without the `trim` smallest and the `trim` largest. */
export function trimmed(n: number, d: number, read: ReadColumn, trim: number): Combination {
  return { sums: orderedSums(n, d, read, trim, n - trim), denominator: n - 2 * trim };
}

/** Coordinate-wise trimmed mean (Yin et al. 2018). */
export function trimmedMean(entrants: Entrants): Combination {
  const { parts, f } = entrants;
  return trimmed(parts.length, dimension(entrants), lanesColumn(entrants), toleranceAmong(parts.length, f));
}

/** Coordinate-wise median; of an even number, the mean of the middle two: all is trimmed but the one or two in the middle. */
export function median(entrants: Entrants): Combination {
  const n = entrants.parts.length;
  return trimmed(n, dimension(entrants), lanesColumn(entrants), Math.floor((n - 1) / 2));
}

export function dimension({ parts }: Pick<Entrants, "parts">): number {
  return parts[0]?.lanes.length ?? 0;
}
