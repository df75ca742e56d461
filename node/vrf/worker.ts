import { parentPort } from "node:worker_threads";
import { vrfVerify } from "../../crypto/vrf.ts";
import type { VrfJob } from "./ahead.ts";

/** The thread that verifies proofs: one message in, the output or undefined out. */

const port = parentPort;
port?.on("message", ({ key, alpha, proof }: VrfJob) => port.postMessage(vrfVerify(key, alpha, proof)));
