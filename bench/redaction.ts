import { chameleonDigest, chameleonOpens, scalarBytes } from "../crypto/chameleon.ts";
import { taggedHash, u64Bytes } from "../crypto/hash.ts";
import { custodians, openingFrom, type Redaction, redactionMessage } from "../crypto/threshold.ts";
import { purge } from "./purge.ts";

/**
 * What an editable record costs: hash, check of an opening, and a collision by three of five custodians, all of its steps in this process and
 * none on a network. Against the figures that a C implementation of the same construction publishes for one party on secp256k1
 * (thiagoharry/blockchain_tests), on other hardware: the ratio says what to expect, not who is faster.
 */

const C_HASH_MS = 0.5;
const C_COLLISION_MS = 0.61;
const ROUNDS = 200;

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1] as number;
}

/** Median of many calls, ms, after as many to warm up. */
function time(act: (i: number) => void): number {
  for (let i = 0; i < ROUNDS; i++) act(i);
  return median(
    Array.from({ length: ROUNDS }, (_, i) => {
      const began = performance.now();
      act(i);
      return performance.now() - began;
    }),
  );
}

const signers = { min: 3, max: 5 };
const { public: shared, secretShares } = custodians.trustedDealer(signers);
const publicKey = shared.commitments[0] as Uint8Array;
const bytes = (name: string, i = 0) => taggedHash(`bench/${name}`, u64Bytes(i));
const label = bytes("label");
const opening = (i: number) => ({
  cm: bytes("cm", i),
  version: 0,
  r: scalarBytes(BigInt(i + 1)),
  s: scalarBytes(BigInt(i + 2)),
});
const digest = chameleonDigest(publicKey, label, opening(0)) as Uint8Array;
const who = Object.values(secretShares).slice(0, signers.min);

function collide(i: number): boolean {
  const redaction: Redaction = {
    genesis: bytes("genesis"),
    epoch: 0,
    publicKey,
    label,
    version: i + 1,
    digest,
    cm: bytes("erased", i),
    request: bytes("request", i),
  };
  const message = redactionMessage(redaction);
  const nonces = who.map((secret) => custodians.commit(secret));
  const list = nonces.map((n) => n.commitments);
  const shares = Object.fromEntries(
    who.map((secret, at) => {
      const own = nonces[at]?.nonces;
      if (!own) throw new Error("no nonces");
      return [secret.identifier, custodians.signShare(secret, shared, own, list, message)];
    }),
  );
  return chameleonOpens(
    publicKey,
    label,
    digest,
    openingFrom(redaction, custodians.aggregate(shared, list, message, shares)),
  );
}

const hash = time((i) => chameleonDigest(publicKey, label, opening(i)));
const verify = time(() => chameleonOpens(publicKey, label, digest, opening(0)));
let bad = 0;
const collision = time((i) => {
  if (!collide(i)) bad++;
});
const line = (what: string, ms: number, peer?: number) =>
  process.stdout.write(
    `${what.padEnd(44)} ${ms.toFixed(2)} ms${peer === undefined ? "" : `   ${(ms / peer).toFixed(1)} × the C figure of ${peer} ms`}\n`,
  );
line("hash", hash, C_HASH_MS);
line("check of an opening", verify);
line("collision by 3 of 5, all steps, and its check", collision, C_COLLISION_MS);
if (bad > 0) throw new Error(`${bad} collisions opened nothing`);

const lengths = process.argv.includes("--quick") ? [100, 1_000] : [100, 10_000];
process.stdout.write(`\nA record's payload, erased from a chain of so many blocks (a minute or two):\n`);
for (const p of await purge(lengths, (height) => process.stderr.write(`\rheight ${height} `))) {
  const total = p.validate + p.store + p.unlink;
  process.stdout.write(
    `${String(p.blocks).padStart(6)} blocks: ${total.toFixed(1)} ms (check ${p.validate.toFixed(1)}, database ${p.store.toFixed(1)}, ` +
      `file ${p.unlink.toFixed(1)}); hashing, signing and writing all blocks again ${(p.rewrite / 1000).toFixed(2)} s, ` +
      `${(p.rewrite / total).toFixed(0)} × as long\n`,
  );
}
