import { test } from "uvu";
import * as assert from "uvu/assert";
import { Sources } from "../../node/sources.ts";

test("each in turn; who fails comes after those that serve, until it serves", () => {
  const sources = new Sources();
  const peers = ["a", "b", "c"];
  const next = () => sources.order(peers)[0] as string;
  const turns = (n: number) =>
    Array.from({ length: n }, () => {
      const peer = next();
      sources.served(peer);
      return peer;
    });
  assert.equal(turns(6), ["a", "b", "c", "a", "b", "c"]);
  sources.failed("a");
  assert.equal(turns(4), ["b", "c", "b", "c"]);
  for (const peer of ["b", "b", "c"]) sources.failed(peer);
  assert.equal(sources.order(peers), ["a", "c", "b"], "all have failed: the least, then who was asked longest ago");
  sources.served("b");
  assert.equal(sources.order(peers), ["b", "a", "c"]);
  assert.equal(sources.order([]), []);
});

test("who has gone is forgotten", () => {
  const sources = new Sources();
  sources.failed("a");
  sources.gone("a");
  assert.equal(sources.order(["a", "b"]), ["a", "b"]);
});

test.run();
