import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isPoflError } from "../../types/errors.ts";
import { decode } from "../../types/primitives.ts";
import { ChainState } from "../../types/state.ts";
import { pieceOf, StateBuilder, StatePiece, StateTop, topOf } from "../../vm/snapshot.ts";
import { State } from "../../vm/state.ts";
import { LIST_NAMES } from "../../vm/view.ts";
import { genesisWith, seedOf } from "./support.ts";

const PIECE = 4096;

/** A state with several pieces of accounts, the last one not full. */
function large(accounts = 2 * PIECE + 5): State {
  const { accounts: _a, miners, tasks, ...singles } = ChainState.defaultValue();
  const account = (n: number) => ({ address: seedOf(`account ${n}`).slice(0, 20), balance: BigInt(n), nonce: n });
  const founders = State.genesis(genesisWith());
  return State.of(
    { ...singles, height: 77, seed: seedOf("seed") },
    {
      accounts: Array.from({ length: accounts }, (_, n) => account(n)),
      miners: Array.from(founders.miners(), (m) => structuredClone(m.record)),
      tasks: Array.from(founders.tasks(), (t) => structuredClone(t.record)),
    },
  );
}

function fails(act: () => unknown, says: RegExp, id: string): void {
  try {
    act();
  } catch (error) {
    if (!isPoflError(error, "BAD_SNAPSHOT") && !isPoflError(error, "BAD_ENCODING")) throw error;
    assert.match(error.message, says, id);
    return;
  }
  throw new Error(`${id}: nothing was refused`);
}

test("a state comes back from its pieces, sent as bytes and in any order", () => {
  const state = large();
  const top = StateTop.deserialize(StateTop.serialize(topOf(state)));
  const builder = new StateBuilder(state.root(), top);
  const names = builder.missing().reverse();
  assert.is(names.length, 3 + 1 + 1);
  fails(() => builder.finish(), /5 pieces are missing/, "too early");
  for (const name of names) {
    const piece = pieceOf(state, name);
    assert.ok(piece);
    builder.add(name, StatePiece.deserialize(StatePiece.serialize(piece)));
  }
  const back = builder.finish();
  assert.equal(back.root(), state.root());
  assert.equal(back.records(), state.records());
  assert.is(pieceOf(state, { list: 0, index: 3 }), undefined);
  assert.is(pieceOf(state, { list: LIST_NAMES.length, index: 0 }), undefined);
});

test("a genesis state without records, tasks and requests has pieces for what there is", () => {
  const state = State.genesis(genesisWith({ task: undefined }));
  const builder = new StateBuilder(state.root(), topOf(state));
  for (const name of builder.missing()) builder.add(name, pieceOf(state, name)!);
  assert.equal(builder.finish().root(), state.root());
});

test("any byte of a top or of a piece that is changed makes it refused, and nothing is kept", () => {
  const state = large(40);
  const top = StateTop.serialize(topOf(state));
  const pieces = new StateBuilder(state.root(), topOf(state)).missing();
  const encoded = pieces.map((name) => StatePiece.serialize(pieceOf(state, name)!));
  const flip = (bytes: Uint8Array, at: number, bit: number) => {
    const copy = bytes.slice();
    copy[at % copy.length]! ^= 1 << bit;
    return copy;
  };
  fc.assert(
    fc.property(fc.nat(), fc.nat(7), fc.nat(pieces.length - 1), (at, bit, which) => {
      let read: StateTop | undefined;
      try {
        read = decode(StateTop, flip(top, at, bit));
      } catch {}
      if (read) fails(() => new StateBuilder(state.root(), read), /./, `top ${at}`);
      const builder = new StateBuilder(state.root(), topOf(state));
      let piece: StatePiece | undefined;
      try {
        piece = decode(StatePiece, flip(encoded[which]!, at, bit));
      } catch {}
      if (piece) fails(() => builder.add(pieces[which]!, piece), /./, `piece ${which} at ${at}`);
      assert.is(builder.missing().length, pieces.length);
    }),
    { numRuns: 200 },
  );
});

test("pieces of another place, of another state, cut short or padded are refused by name", () => {
  const state = large();
  const other = large(2 * PIECE + 6);
  const builder = () => new StateBuilder(state.root(), topOf(state));
  const first = pieceOf(state, { list: 0, index: 0 })!;
  const last = pieceOf(state, { list: 0, index: 2 })!;
  fails(() => new StateBuilder(state.root(), topOf(other)), /not the state that the header names/, "another top");
  fails(() => builder().add({ list: 0, index: 1 }, first), /piece 1 of accounts does not belong/, "another place");
  fails(() => builder().add({ list: 0, index: 2 }, pieceOf(other, { list: 0, index: 2 })!), /6 records, 5/, "another");
  fails(() => builder().add({ list: 0, index: 3 }, last), /there is none/, "beyond the end");
  fails(() => builder().add({ list: 9, index: 0 }, last), /no list 9/, "no list");
  fails(() => builder().add({ list: 0, index: 2 }, { ...last, records: last.records.slice(1) }), /4 records/, "short");
  fails(() => builder().add({ list: 0, index: 2 }, { ...last, proof: last.proof.slice(1) }), /19 hashes, 20/, "proof");
  const swapped = { ...last, records: [last.records[1]!, last.records[0]!, ...last.records.slice(2)] };
  fails(() => builder().add({ list: 0, index: 2 }, swapped), /does not belong/, "order");
});

test.run();
