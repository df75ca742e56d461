import { test } from "uvu";
import * as assert from "uvu/assert";
import { Sources } from "../../node/sources.ts";

test("each in turn; who fails comes after those that serve, until it serves", () => {
  const sources = new Sources();
  const peers = ["a", "b", "c"];
  const turns = (n: number) => Array.from({ length: n }, () => sources.next(peers));
  assert.equal(turns(6), ["a", "b", "c", "a", "b", "c"]);
  sources.failed("a");
  assert.equal(turns(4), ["b", "c", "b", "c"]);
  sources.failed("b");
  sources.failed("b");
  sources.failed("c");
  assert.equal(turns(3), ["a", "c", "a"], "all have failed: the least, in turn");
  sources.served("b");
  assert.equal(turns(2), ["b", "b"]);
  assert.is(sources.next(["c"]), "c");
  assert.is(sources.next([]), undefined);
});

test("who has gone is forgotten", () => {
  const sources = new Sources();
  sources.failed("a");
  sources.gone("a");
  assert.is(sources.next(["a", "b"]), "a");
});

test.run();
