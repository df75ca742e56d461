import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { addressOf, signTx } from "../../crypto/domain.ts";
import { type HomePaths, homePaths, writeGenesis } from "../../node/home.ts";
import { type Database, openDatabase } from "../../node/store/database.ts";
import { openStore, type Store, type StoreOptions } from "../../node/store/store.ts";
import { fromHex } from "../../types/primitives.ts";
import { untypedPayload } from "../../types/tx.ts";
import { State } from "../../vm/state.ts";
import { TASK, testGenesis, testKeys, World } from "../consensus/world.ts";

/** A chain that real engines made, with a round and transfers at its heights, and stores and homes that hold it. */

export const NAMES = ["a", "b", "c", "d"];

/** @param transfers one in each of as many first blocks */
export async function grownWorld(height: number, transfers = height): Promise<World> {
  const made = new World({ names: NAMES, genesis: testGenesis(NAMES, TASK), seed: 4, steady: true });
  const { account } = testKeys("faucet");
  const to = fromHex(made.genesis.validators[0]?.address as string);
  for (const name of NAMES) made.start(name);
  for (let h = 0; h < height; h++) {
    const payload = untypedPayload({ kind: "transfer", value: { to, amount: 5n } });
    const body = { sender: addressOf(account.publicKey), nonce: h, fee: 100_000n, expires: 0, payload };
    if (h < transfers) made.mempool.push(signTx(made.hash, account, body));
    assert.ok(await made.run(60_000, () => NAMES.every((n) => made.height(n) > h)));
  }
  return made;
}

/** Opens the store of the world's chain in `db`. */
export const openGrown = (made: World, db: Database, options: Partial<StoreOptions> = {}): Promise<Store> =>
  openStore(db, {
    genesisHash: made.hash,
    genesisState: () => State.genesis(made.genesis),
    path: "test/db",
    ...options,
  });

/** Appends the first `height` blocks. */
export async function fillGrown(made: World, store: Store, height: number): Promise<void> {
  for (const { certified, receipts, head } of made.disks.get("a")?.blocks.slice(0, height) ?? []) {
    await store.append(certified, receipts, head.state.changes(), head.validators);
  }
}

/** The home of `a` as its node would have left it, without keys and settings. */
export async function grownHome(made: World, dir: string, height: number): Promise<HomePaths> {
  const paths = homePaths(dir);
  mkdirSync(join(dir, "config"), { recursive: true });
  mkdirSync(paths.data);
  writeGenesis(paths, made.genesis);
  const store = await openGrown(made, await openDatabase(paths.chain), { path: paths.chain });
  await fillGrown(made, store, height);
  await store.close();
  // Not by the blob store, which flushes each.
  mkdirSync(paths.blobs);
  for (const [root, bytes] of made.disks.get("a")?.blobs ?? []) writeFileSync(join(paths.blobs, root.slice(2)), bytes);
  return paths;
}

/** A database kept open between two stores: memory-level forgets when closed. */
export function lasting(db: Database): Database {
  return new Proxy(db, {
    get: (target, name) => {
      if (name === "close") return async () => {};
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
