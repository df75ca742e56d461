import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  commitmentsAreValid,
  commitmentsOf,
  dealingFrom,
  proveDealt,
  provesDealt,
  shareFits,
  shareOf,
} from "../../crypto/dealing.ts";
import { generate, named } from "./ceremony.ts";

test("key generation, 3 of 5: every share fits its dealer's commitments, every combined one the key's", () => {
  const { dealings, commitments, shares } = generate(3, 5);
  dealings.forEach((dealing, dealer) => {
    const own = commitmentsOf(dealing);
    assert.ok(commitmentsAreValid(own, 3));
    for (let receiver = 0; receiver < 5; receiver++) {
      assert.ok(shareFits(own, receiver, shareOf(dealing, receiver)), `${dealer} to ${receiver}`);
      assert.not(shareFits(own, (receiver + 1) % 5, shareOf(dealing, receiver)), `${dealer}'s for ${receiver} moved`);
    }
  });
  shares.forEach((share, receiver) => assert.ok(shareFits(commitments, receiver, share)));
});

test("a proof holds for its dealer and its ceremony alone", () => {
  const [seed, ceremony] = [named("seed"), named("ceremony")];
  const dealing = dealingFrom(seed, ceremony, 3);
  const commitment = commitmentsOf(dealing)[0]!;
  const proof = proveDealt(dealing, seed, ceremony, 2);
  assert.ok(provesDealt(commitment, ceremony, 2, proof));
  assert.not(provesDealt(commitment, ceremony, 1, proof), "another dealer");
  assert.not(provesDealt(commitment, named("ceremony", 1), 2, proof), "another ceremony");
});

test.run();
