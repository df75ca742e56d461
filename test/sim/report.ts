/** What workers tell the main process, and how it is added up. */

export type Job = {
  readonly keyed: boolean;
  /** Name of a planted bug. */
  readonly plant?: string;
  /** Validators of every seed; left out: each draws its own number. */
  readonly n?: number;
  readonly heights?: number;
};

/** What a worker is told: its processes' signatures and planted bug are as the job says. */
export type Task = { readonly job: Job; readonly from: number; readonly howMany: number };

export type Violation = {
  readonly seed: number;
  readonly what: string;
  readonly trace: readonly string[];
  /** Whether the run that traced it was the same to the byte. */
  readonly repeats: boolean;
};

export type Sum = {
  seeds: number;
  events: number;
  frames: number;
  heights: number;
  cpuMs: number;
  /** Decisions by their round. */
  rounds: number[];
  /** Seeds by how many rounds the height in progress took after the faults had stopped. */
  healed: number[];
};

export type Batch = { readonly sum: Sum; readonly violations: readonly Violation[] };

export const emptySum = (): Sum => ({
  seeds: 0,
  events: 0,
  frames: 0,
  heights: 0,
  cpuMs: 0,
  rounds: [],
  healed: [],
});

export function count(histogram: number[], value: number): void {
  histogram[value] = (histogram[value] ?? 0) + 1;
}

export function add(total: Sum, more: Sum): void {
  for (const key of ["seeds", "events", "frames", "heights", "cpuMs"] as const) total[key] += more[key];
  for (const key of ["rounds", "healed"] as const) {
    more[key].forEach((n, i) => {
      total[key][i] = (total[key][i] ?? 0) + (n ?? 0);
    });
  }
}

/** "0: 120, 1: 30, 4: 2" */
export function histogramText(histogram: readonly number[]): string {
  return histogram.flatMap((n, i) => (n ? [`${i}: ${n}`] : [])).join(", ");
}
