import { test } from "uvu";
import * as assert from "uvu/assert";
import { Sources } from "../../node/sources.ts";

/** Whom to ask first. */

test("the quickest is first, who was never asked before who is slow, and who gave nothing rests up to ten minutes", () => {
  const sources = new Sources();
  const peers = ["new", "slow", "quick", "mute"];
  sources.gave("slow", 1, 9_000);
  sources.gave("quick", 64, 320);
  sources.failed("mute", 0);
  assert.equal(sources.order(peers, 0), ["quick", "new", "slow"]);
  assert.equal(sources.order(peers, 2_000), ["quick", "new", "slow", "mute"]);
  assert.equal(sources.order(["mute", "gone"], 1_999), ["gone"]);
  let now = 0;
  const rests: number[] = [];
  for (let i = 0; i < 12; i++) {
    const begun = now;
    sources.failed("quick", now);
    while (sources.order(["quick"], now).length === 0) now += 1_000;
    rests.push((now - begun) / 1_000);
  }
  assert.equal(rests, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
  sources.gave("quick", 1, 1);
  sources.failed("quick", now);
  assert.equal(sources.order(["quick"], now + 2_000), ["quick"], "after a success it begins anew");
});

test("strangers who come and go are forgotten", () => {
  const sources = new Sources();
  for (let i = 0; i < 5_000; i++) {
    sources.failed(`peer ${i}`, 0);
    sources.order(["mute"], 0);
  }
  sources.failed("mute", 0);
  for (let i = 0; i < 5_000; i++) sources.failed(`other ${i}`, 0);
  assert.equal(sources.order(["mute", "peer 3", "other 3"], 0), ["peer 3"], "but not who is here");
});

test.run();
