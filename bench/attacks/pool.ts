import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { type Job, type Row, runJob } from "./jobs.ts";

/** Runs jobs on all cores; rows come back in the order of the jobs, whichever thread was first. */
export async function runAll(jobs: readonly Job[], progress: (done: number) => void): Promise<Row[]> {
  const rows: Row[] = new Array(jobs.length);
  let [next, done] = [0, 0];
  const workers = Array.from({ length: Math.min(availableParallelism(), jobs.length) }, () => {
    const worker = new Worker(new URL(import.meta.url));
    return new Promise<void>((resolve, reject) => {
      const give = () => {
        if (next < jobs.length) worker.postMessage({ at: next, job: jobs[next++] });
        else void worker.terminate().then(() => resolve());
      };
      worker.on("message", ({ at, row, error }: { at: number; row: Row; error?: string }) => {
        if (error !== undefined) {
          void worker.terminate();
          reject(new Error(`${JSON.stringify(jobs[at])}: ${error}`));
          return;
        }
        rows[at] = row;
        progress(++done);
        give();
      });
      worker.on("error", reject);
      give();
    });
  });
  await Promise.all(workers);
  return rows;
}

if (!isMainThread && parentPort) {
  const port = parentPort;
  port.on("message", ({ at, job }: { at: number; job: Job }) => {
    runJob(job).then(
      (row) => port.postMessage({ at, row }),
      (error) => port.postMessage({ at, error: String(error?.stack ?? error) }),
    );
  });
}
