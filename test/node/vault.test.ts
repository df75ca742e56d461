import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Holdings } from "../../node/custodian/holdings.ts";
import { openVault, type Vault } from "../../node/custodian/vault.ts";
import { realDisk } from "../../node/store/disk.ts";
import { expectCode, seedOf } from "../vm/support.ts";

const KEY = seedOf("custodian");
const text = (s: string) => new TextEncoder().encode(s);

async function inFolder(body: (folder: string) => void): Promise<void> {
  const dir = fs.mkdtempSync(join(tmpdir(), "vault-"));
  try {
    body(join(dir, "custodian"));
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}
const open = (folder: string, key = KEY, disk = realDisk): Vault => openVault(folder, key, randomBytes, disk);

test("keeps, replaces and removes", () =>
  inFolder((folder) => {
    const vault = open(folder);
    assert.equal(vault.names(), []);
    assert.is(vault.read("consents"), undefined);
    vault.write("share-0-1", text("one"));
    vault.write("consents", text("two"));
    vault.write("consents", text("three"));
    assert.equal(open(folder).names(), ["consents", "share-0-1"]);
    assert.equal(open(folder).read("consents"), text("three"));
    vault.remove("share-0-1");
    vault.remove("share-0-1");
    assert.equal(open(folder).names(), ["consents"]);
    assert.is(open(folder).read("share-0-1"), undefined);
    assert.throws(() => vault.write("../out", text("x")), /no name/);
  }));

test("no file holds the plain bytes, nor the same bytes twice", () =>
  inFolder((folder) => {
    const vault = open(folder);
    const secret = randomBytes(32);
    vault.write("share-0-0", secret);
    const first = fs.readFileSync(join(folder, "share-0-0"));
    vault.write("share-0-0", secret);
    const second = fs.readFileSync(join(folder, "share-0-0"));
    for (const file of [first, second]) {
      assert.is(file.indexOf(secret), -1);
      assert.is(file.indexOf(secret.subarray(0, 8)), -1);
    }
    assert.is.not(Buffer.compare(first.subarray(24), second.subarray(24)), 0);
    assert.is(fs.statSync(join(folder, "share-0-0")).mode & 0o077, 0);
  }));

test("another key is told from damage, and both say what to do", () =>
  inFolder((folder) => {
    open(folder).write("share-0-0", text("contents"));
    const path = join(folder, "share-0-0");
    const whole = fs.readFileSync(path);
    assert.throws(() => open(folder, seedOf("other")), expectCode("VAULT_WRONG_KEY"));
    assert.throws(() => open(folder, seedOf("other")), /put that key back/);
    for (let at = 0; at < whole.length; at++) {
      const bad = Buffer.from(whole);
      bad[at] = (bad[at] as number) ^ 1;
      fs.writeFileSync(path, bad);
      const mark = at >= 16 && at < 24;
      assert.throws(() => open(folder), expectCode(mark ? "VAULT_WRONG_KEY" : "VAULT_DAMAGED"));
    }
    for (const length of [0, 10, 30, whole.length - 1]) {
      fs.writeFileSync(path, whole.subarray(0, length));
      assert.throws(() => open(folder), expectCode("VAULT_DAMAGED"));
      assert.throws(() => open(folder), /Restore the file from a copy/);
      // Nothing is thrown away.
      assert.is(fs.statSync(path).size, length);
    }
    fs.writeFileSync(path, whole);
    assert.equal(open(folder).read("share-0-0"), text("contents"));
  }));

test("a file that is gone is missed, and named with its remedy; one that a crash left unlisted is kept", () =>
  inFolder((folder) => {
    const vault = open(folder);
    vault.write("share-0-0", text("one"));
    const before = fs.readFileSync(join(folder, ".names"));
    vault.write("consents", text("two"));
    fs.writeFileSync(join(folder, ".names"), before);
    assert.equal(open(folder).names(), ["consents", "share-0-0"]);
    fs.rmSync(join(folder, "consents"));
    assert.throws(() => open(folder), expectCode("VAULT_DAMAGED"));
    assert.throws(() => open(folder), /consents: is missing, though it was kept here.*delete .*\.names/);
    fs.rmSync(join(folder, ".names"));
    assert.equal(open(folder).names(), ["share-0-0"]);
    open(folder).remove("share-0-0");
    assert.equal(open(folder).names(), []);
  }));

test("contents under another name are refused", () =>
  inFolder((folder) => {
    open(folder).write("share-0-0", text("old"));
    fs.copyFileSync(join(folder, "share-0-0"), join(folder, "share-0-1"));
    assert.throws(() => open(folder), expectCode("VAULT_DAMAGED"));
  }));

test("a crash at any call leaves the old file or the new one", () =>
  inFolder((folder) => {
    const calls = ["openSync", "writeSync", "fsyncSync", "closeSync", "renameSync"] as const;
    for (const name of calls) {
      open(folder).write("consents", text("old"));
      const disk = {
        ...realDisk,
        [name]: () => {
          throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        },
      };
      let vault: Vault | undefined;
      try {
        vault = open(folder, KEY, disk);
      } catch {
        vault = undefined;
      }
      if (vault) assert.throws(() => vault.write("consents", text("new")), expectCode("DISK_FULL"));
      const found = new TextDecoder().decode(open(folder).read("consents"));
      assert.ok(found === "old" || found === "new", found);
      assert.not(fs.existsSync(join(folder, "consents.new")));
    }
  }));

test("what a custodian keeps comes back; two ceremonies' shares of one generation don't meet", () =>
  inFolder((folder) => {
    const holdings = new Holdings(open(folder));
    const plan = { epoch: 0, generation: 0, attempt: 0, keys: [seedOf("a"), seedOf("b")], threshold: 2, dealers: [] };
    const joined = holdings.join(plan, seedOf("seed"));
    const share = (ceremony: string) => ({ ceremony: seedOf(ceremony), epoch: 0, generation: 0, share: seedOf("s") });
    holdings.keep(share("first"));
    holdings.keep(share("second"));
    holdings.setConsents([{ request: seedOf("request"), signature: new Uint8Array(64).fill(3) }]);
    const again = new Holdings(open(folder));
    assert.equal(again.ceremony(joined.id), joined);
    assert.equal(again.shares().length, 2);
    assert.equal(again.shareFrom(seedOf("second")), share("second"));
    assert.equal(again.consent(seedOf("request"))?.signature, new Uint8Array(64).fill(3));
    again.forget(share("first"));
    again.leave(joined.id);
    const last = new Holdings(open(folder));
    assert.equal(last.joined(), []);
    assert.equal(last.shares(), [share("second")]);
  }));

test.run();
