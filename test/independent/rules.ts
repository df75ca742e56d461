import { ascending, factor, lower, nearest, squaredDistance, total } from "./numbers.ts";

/** The aggregation rules once more, from docs/protocol.md ("Rules") alone: every mixed vector is built, every mean is a fraction. */

export type Row = { v: bigint[]; guilty: boolean; samples: bigint };
export type RuleLine = { status: string; score: bigint; weight: bigint };
/** Per coordinate: above and below the line, in lanes. */
export type Fraction = [bigint, bigint];
export type Applied = { lines: RuleLine[]; target2: bigint; mean: Fraction[] | undefined };

type Settings = { rule: string; weights: "equal" | "samples"; weightCapPermille: number };

/** @param rows the distinct updates in canonical order */
export function applyRule(settings: Settings, rows: Row[], f: number): Applied {
  const sound = rows.filter((r) => !r.guilty);
  const g = tolerance(sound.length, f);
  const score = new Map<Row, bigint>();
  const times = new Map<Row, bigint>(sound.map((r) => [r, 1n]));
  let central = rows;

  if (settings.rule === "multi-krum") {
    const scores = krumScores(
      rows.map((r) => r.v),
      f,
    );
    rows.forEach((r, i) => score.set(r, scores[i] as bigint));
    central = best(scores, rows.length - f).map((i) => rows[i] as Row);
  }
  if (settings.rule === "nnm+multi-krum") {
    const size = sound.length - g;
    const groups = sound.map((r) => nearestTo(r, sound, size));
    const scores = krumScores(groups.map(sum), g);
    sound.forEach((r, i) => score.set(r, (scores[i] as bigint) / BigInt(size * size)));
    const chosen = best(scores, size).flatMap((i) => groups[i] as Row[]);
    for (const r of sound) times.set(r, BigInt(chosen.filter((c) => c === r).length));
    central = sound.filter((r) => chosen.includes(r));
  }

  const entering = rows.filter((r) => !r.guilty && (times.get(r) as bigint) > 0n);
  const cap = ((lower(entering.map((r) => r.samples)) ?? 0n) * BigInt(settings.weightCapPermille)) / 1000n;
  const weight = (r: Row): bigint => {
    if (!entering.includes(r)) return 0n;
    let w = 1n;
    if (settings.weights === "samples") {
      w = r.samples > cap ? cap : r.samples;
      if (w < 1n) w = 1n;
    }
    w *= times.get(r) as bigint;
    return w > 2n ** 35n ? 2n ** 35n : w;
  };
  const good = central.filter((r) => !r.guilty);
  const norms = (good.length > 0 ? good : central).map((r) =>
    squaredDistance(
      r.v,
      r.v.map(() => 0n),
    ),
  );
  const target2 = lower(norms) ?? 0n;
  const status = (r: Row) => {
    if (r.guilty) return "harmful";
    if (!entering.includes(r)) return "suspect";
    return central.includes(r) ? "accepted" : "accepted-clipped";
  };
  const lines = rows.map((r) => ({ status: status(r), score: score.get(r) ?? 0n, weight: weight(r) }));
  if (entering.length === 0) return { lines, target2, mean: undefined };

  const d = entering[0]?.v.length ?? 0;
  const column = (vectors: bigint[][], k: number) => ascending(vectors.map((v) => v[k] as bigint));
  const coordinates = (of: (k: number) => Fraction) => Array.from({ length: d }, (_, k) => of(k));
  const middle = (values: bigint[], cut: number): Fraction => {
    const left = values.slice(cut, values.length - cut);
    return [total(left), BigInt(left.length)];
  };
  const vectors = entering.map((r) => r.v);
  switch (settings.rule) {
    case "median":
      return { lines, target2, mean: coordinates((k) => median(column(vectors, k))) };
    case "trimmed-mean":
      return { lines, target2, mean: coordinates((k) => middle(column(vectors, k), g)) };
    case "nnm+trimmed-mean": {
      const size = entering.length - g;
      const mixed = entering.map((r) => sum(nearestTo(r, entering, size)));
      const mean = coordinates((k) => {
        const [up, down] = middle(column(mixed, k), g);
        return [up, down * BigInt(size)];
      });
      return { lines, target2, mean };
    }
    case "centered-clipping":
      return { lines, target2, mean: centered(vectors) };
    default: {
      const all = total(entering.map(weight));
      const shares = entering.map((r) => {
        const s = central.includes(r)
          ? 65536n
          : factor(
              squaredDistance(
                r.v,
                r.v.map(() => 0n),
              ),
              target2,
            );
        return r.v.map((q) => weight(r) * nearest(q * s, 65536n));
      });
      return { lines, target2, mean: coordinates((k) => [total(column(shares, k)), all]) };
    }
  }
}

function tolerance(k: number, f: number): number {
  let g = f;
  while (g > 0 && k < 2 * g + 3) g--;
  return g;
}

function sum(rows: Row[]): bigint[] {
  return (rows[0]?.v ?? []).map((_, k) => total(rows.map((r) => r.v[k] as bigint)));
}

/** The nearest of all to one of them, that one included; of equally far ones the earlier. */
function nearestTo(r: Row, all: Row[], size: number): Row[] {
  const left = [...all];
  const found: Row[] = [];
  while (found.length < size) {
    let near = left[0] as Row;
    for (const other of left) if (squaredDistance(other.v, r.v) < squaredDistance(near.v, r.v)) near = other;
    found.push(near);
    left.splice(left.indexOf(near), 1);
  }
  return found;
}

function krumScores(vectors: bigint[][], f: number): bigint[] {
  return vectors.map((a, i) => {
    const far = ascending(vectors.filter((_, j) => j !== i).map((b) => squaredDistance(a, b)));
    return total(far.slice(0, Math.max(0, vectors.length - f - 2)));
  });
}

function best(scores: bigint[], many: number): number[] {
  const ahead = (j: number, i: number) =>
    (scores[j] as bigint) < (scores[i] as bigint) || (scores[j] === scores[i] && j < i);
  return scores.map((_, i) => i).filter((i) => scores.filter((_, j) => ahead(j, i)).length < many);
}

function median(sorted: bigint[]): Fraction {
  const n = sorted.length;
  if (n % 2 === 1) return [sorted[(n - 1) / 2] as bigint, 1n];
  return [(sorted[n / 2 - 1] as bigint) + (sorted[n / 2] as bigint), 2n];
}

function centered(vectors: bigint[][]): Fraction[] {
  const fine = vectors.map((v) => v.map((q) => q * 256n));
  let centre = (fine[0] as bigint[]).map((_, k) => lower(fine.map((v) => v[k] as bigint)) as bigint);
  const tau2 = lower(fine.map((v) => squaredDistance(v, centre))) as bigint;
  for (const _ of [1, 2, 3]) {
    const from = centre;
    const s = fine.map((v) => factor(squaredDistance(v, from), tau2));
    centre = from.map((c, k) => {
      const moves = fine.map((v, i) => (s[i] as bigint) * ((v[k] as bigint) - c));
      return c + nearest(total(moves), 65536n * BigInt(vectors.length));
    });
  }
  return centre.map((c) => [c, 256n]);
}
