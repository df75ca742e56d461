import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  addressOf,
  commitmentOf,
  DOMAINS,
  type Domain,
  signAttestation,
  signCertificate,
  signClosing,
  signingBytes,
  signMessage,
  signPledge,
  signPossession,
  signProposal,
  signTx,
  signVote,
  txId,
  verifyAttestation,
  verifyCertificate,
  verifyClosing,
  verifyMessage,
  verifyPledge,
  verifyPossession,
  verifyProposal,
  verifyTx,
  verifyVote,
} from "../../crypto/domain.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { isPoflError } from "../../types/errors.ts";
import { toHex } from "../../types/primitives.ts";
import { type TxBody, untypedPayload } from "../../types/tx.ts";
import { PRECOMMIT, PREVOTE, type Vote, Vote as VoteType } from "../../types/vote.ts";

const of = (n: number, length = 32): Uint8Array => new Uint8Array(length).fill(n);
const genesis = of(7);
const otherChain = of(8);
const keys = keyPair(of(1));
const other = keyPair(of(2));

const vote = (type: number): Vote => ({
  type,
  height: 5,
  round: 1,
  blockId: of(3),
  validRound: 0,
  time: 0,
  validator: 2,
});
const opening = { miner: 1, salt: of(4), blobRoot: of(5), size: 28, samples: 100 };
const body = (): TxBody => ({
  sender: addressOf(keys.publicKey),
  nonce: 1,
  fee: 2n,
  expires: 0,
  payload: untypedPayload({ kind: "transfer", value: { to: of(9, 20), amount: 3n } }),
});

/** For each message: does this signature hold for that chain and key, and does a changed message? */
type Case = { id: string; check: (chain: Uint8Array, key: Uint8Array) => boolean; changed: () => boolean };

function cases(): Case[] {
  const pre = signVote(genesis, keys.secret, vote(PREVOTE));
  const com = signVote(genesis, keys.secret, vote(PRECOMMIT));
  const proposal = signProposal(genesis, keys.secret, {
    height: 5,
    round: 1,
    blockId: of(3),
    validRound: 0,
    proposer: 2,
  });
  const pledge = signPledge(genesis, keys.secret, { height: 5, task: of(1), miner: 2, commitment: of(3) });
  const closing = signClosing(genesis, keys.secret, {
    height: 5,
    task: of(1),
    member: 2,
    commitments: [{ miner: 0, commitment: of(3) }],
  });
  const attestation = signAttestation(genesis, keys.secret, {
    height: 5,
    task: of(1),
    member: 2,
    updates: [{ miner: 0, commitment: of(3), status: 1, vote: 2 }],
    metrics: [],
  });
  const address = addressOf(keys.publicKey);
  const possession = signPossession(genesis, keys.secret, address);
  const certified = { institution: of(6), address };
  const certificate = signCertificate(genesis, keys.secret, certified);
  const change = <T extends { height: number }>(signed: { message: T; signature: Uint8Array }) => ({
    ...signed,
    message: { ...signed.message, height: 6 },
  });
  return [
    {
      id: "prevote",
      check: (c, k) => verifyVote(c, k, pre),
      changed: () => verifyVote(genesis, keys.publicKey, change(pre)),
    },
    {
      id: "precommit",
      check: (c, k) => verifyVote(c, k, com),
      changed: () => verifyVote(genesis, keys.publicKey, change(com)),
    },
    {
      id: "proposal",
      check: (c, k) => verifyProposal(c, k, proposal),
      changed: () => verifyProposal(genesis, keys.publicKey, change(proposal)),
    },
    {
      id: "pledge",
      check: (c, k) => verifyPledge(c, k, pledge),
      changed: () => verifyPledge(genesis, keys.publicKey, change(pledge)),
    },
    {
      id: "closing",
      check: (c, k) => verifyClosing(c, k, closing),
      changed: () => verifyClosing(genesis, keys.publicKey, change(closing)),
    },
    {
      id: "attestation",
      check: (c, k) => verifyAttestation(c, k, attestation),
      changed: () => verifyAttestation(genesis, keys.publicKey, change(attestation)),
    },
    {
      id: "possession",
      check: (c, k) => verifyPossession(c, k, address, possession),
      changed: () => verifyPossession(genesis, keys.publicKey, of(1, 20), possession),
    },
    {
      id: "certificate",
      check: (c, k) => verifyCertificate(c, k, certified, certificate),
      changed: () => verifyCertificate(genesis, keys.publicKey, { ...certified, institution: of(7) }, certificate),
    },
  ];
}

test("each signature holds for its chain, key and message alone", () => {
  for (const { id, check, changed } of cases()) {
    assert.ok(check(genesis, keys.publicKey), id);
    assert.not.ok(check(otherChain, keys.publicKey), `${id} on another chain`);
    assert.not.ok(check(genesis, other.publicKey), `${id} of another key`);
    assert.not.ok(changed(), `${id} changed`);
  }
});

test("one table: every domain has a number of its own, and no signature passes for another's", () => {
  const domains = Object.keys(DOMAINS) as Domain[];
  assert.is(new Set(domains.map((d) => DOMAINS[d].type)).size, domains.length);
  for (const domain of domains) {
    const signature = signMessage(domain, genesis, keys.secret, of(3));
    for (const as of domains) {
      assert.is(verifyMessage(as, genesis, keys.publicKey, of(3), signature), as === domain, `${domain} as ${as}`);
    }
  }
});

test("a prevote's signature is none under the precommit type; unknown types sign and verify nothing", () => {
  const signed = signVote(genesis, keys.secret, vote(PREVOTE));
  assert.not.ok(verifyVote(genesis, keys.publicKey, { ...signed, message: { ...signed.message, type: PRECOMMIT } }));
  for (const type of [0, 3, 255]) {
    assert.throws(
      () => signVote(genesis, keys.secret, vote(type)),
      (e: unknown) => isPoflError(e, "BAD_VOTE"),
    );
    assert.not.ok(verifyVote(genesis, keys.publicKey, { ...signed, message: vote(type) }));
  }
});

test("the bytes under a signature are as docs/protocol.md lays them out", () => {
  const root = VoteType.hashTreeRoot(vote(PREVOTE));
  const bytes = signingBytes("prevote", genesis, root);
  const expected = Buffer.concat([Buffer.from("pofl/signature"), genesis, Buffer.from([6, 1]), root]);
  assert.is(toHex(bytes), toHex(expected));
  assert.throws(() => signingBytes("prevote", of(1, 31), root), RangeError);
  assert.throws(() => signingBytes("prevote", genesis, of(1, 33)), RangeError);
});

test("a transaction needs its sender's key; its id ignores the signature", () => {
  const tx = signTx(genesis, keys, body());
  assert.ok(verifyTx(genesis, tx));
  assert.equal(txId(tx.body), txId(body()));
  assert.not.ok(verifyTx(otherChain, tx), "another chain");
  assert.not.ok(verifyTx(genesis, { ...tx, body: { ...tx.body, nonce: 2 } }), "another nonce");
  const stolen = signMessage("tx", genesis, other.secret, txId(tx.body));
  assert.not.ok(verifyTx(genesis, { ...tx, publicKey: other.publicKey, signature: stolen }), "another's key");
  assert.throws(
    () => signTx(genesis, other, body()),
    (e: unknown) => isPoflError(e, "BAD_KEY"),
  );
});

test("a commitment binds every field of the opening, the height and the task", () => {
  const base = { height: 5, task: of(1), opening };
  const variants = [
    base,
    { ...base, height: 6 },
    { ...base, task: of(2) },
    ...[{ miner: 2 }, { salt: of(5) }, { blobRoot: of(6) }, { size: 30 }, { samples: 99 }].map((change) => ({
      ...base,
      opening: { ...opening, ...change },
    })),
  ];
  assert.is(new Set(variants.map((v) => toHex(commitmentOf(v)))).size, variants.length);
});

test("addresses: 20 bytes, one per key", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 30), (n) => {
      const seed = of(0);
      new DataView(seed.buffer).setUint32(0, n);
      const { publicKey } = keyPair(seed);
      assert.is(addressOf(publicKey).length, 20);
      assert.not.equal(addressOf(publicKey), addressOf(keys.publicKey));
    }),
    { numRuns: 20 },
  );
});

test.run();
