import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { TaskSpec } from "../genesis/task.ts";
import { isPoflError, type PoflError } from "../types/errors.ts";
import { type JudgeRequest, LearningSession, type SessionOptions, type TrainRequest } from "./session.ts";

/** The thread in which a node's data lie and its training runs. Requests are done one at a time, in order. */

export type WorkerCall =
  | { readonly kind: "load"; readonly value: TaskSpec }
  | { readonly kind: "train"; readonly value: TrainRequest }
  | { readonly kind: "judge"; readonly value: JudgeRequest };
export type WorkerRequest = WorkerCall & { readonly id: number };
export type WorkerReply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly data: PoflError["data"];
    }
  | { readonly log: string };

function serve(port: MessagePort, options: SessionOptions): void {
  const reply = (message: WorkerReply, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  const session = new LearningSession(options, (log) => reply({ log }));
  const run = async (request: WorkerRequest): Promise<void> => {
    const { id } = request;
    try {
      switch (request.kind) {
        case "load":
          reply({ id, ok: true, value: await session.load(request.value) });
          break;
        case "judge":
          reply({ id, ok: true, value: await session.judge(request.value) });
          break;
        case "train": {
          const value = await session.train(request.value);
          reply({ id, ok: true, value }, [value.blob.buffer as ArrayBuffer]);
          break;
        }
      }
    } catch (error) {
      // Only what the protocol between the threads foresees comes back; anything else ends the thread and is reported as a crash.
      if (!isPoflError(error)) throw error;
      reply({ id, ok: false, code: error.code, message: error.message, data: error.data });
    }
  };
  let last = Promise.resolve();
  port.on("message", (request: WorkerRequest) => {
    last = last.then(() => run(request));
  });
}

if (parentPort) serve(parentPort, workerData as SessionOptions);
