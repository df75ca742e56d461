import { test } from "uvu";
import * as assert from "uvu/assert";
import { scalarBytes } from "../../crypto/chameleon.ts";
import { commitmentsOf, dealingFrom, shareOf } from "../../crypto/dealing.ts";
import { keyPair } from "../../crypto/ed25519.ts";
import { complain, complaintHolds, envelopeKeys, openShare, sealShare } from "../../crypto/envelope.ts";
import { named } from "./ceremony.ts";

const genesisHash = named("genesis");
const ceremony = named("ceremony");
const custodian = keyPair(named("custodian"));
const seed = named("receiver's seed");
const [dealerKeys, receiverKeys] = [envelopeKeys(named("dealer's seed"), ceremony), envelopeKeys(seed, ceremony)];
const dealing = dealingFrom(named("dealer's seed"), ceremony, 3);
const commitments = commitmentsOf(dealing);

const seal = (share: Uint8Array) =>
  sealShare({
    genesisHash,
    custodianSecret: custodian.secret,
    envelopeSecret: dealerKeys.secret,
    receiverKey: receiverKeys.publicKey,
    ceremony,
    dealer: 0,
    receiver: 1,
    share,
  });
const judge = (signed: ReturnType<typeof seal>) =>
  complaintHolds({
    genesisHash,
    custodianKey: custodian.publicKey,
    dealerKey: dealerKeys.publicKey,
    receiverKey: receiverKeys.publicKey,
    commitments,
    complaint: complain({ envelopeSecret: receiverKeys.secret, dealerKey: dealerKeys.publicKey, signed, seed }),
  });

test("a share arrives; against a wrong one the complaint holds, against a right one it doesn't", () => {
  const share = shareOf(dealing, 1);
  const signed = seal(share);
  const opened = openShare({
    genesisHash,
    custodianKey: custodian.publicKey,
    envelopeSecret: receiverKeys.secret,
    dealerKey: dealerKeys.publicKey,
    signed,
  });
  assert.equal(opened, share);
  assert.not(judge(signed));
  assert.ok(judge(seal(scalarBytes(5n))));
});

test.run();
