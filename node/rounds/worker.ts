import { parentPort } from "node:worker_threads";
import { computeRound, type RoundInput } from "../../consensus/round/compute.ts";

/** The thread that computes rounds: one message in, one out. An error ends it, and the pool takes its round over. */

const port = parentPort;
port?.on("message", (input: RoundInput) => {
  const outcome = computeRound(input);
  port.postMessage(outcome, outcome.failure === undefined ? [outcome.model.buffer as ArrayBuffer] : []);
});
