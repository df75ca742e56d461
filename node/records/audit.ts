import { existsSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { sidecarOpens } from "../../crypto/record.ts";
import { genesisHash } from "../../genesis/genesis.ts";
import { isPoflError, PoflError } from "../../types/errors.ts";
import { fromHex, HASH_BYTES, toHex } from "../../types/primitives.ts";
import type { RecordEntry, RequestEntry } from "../../types/state.ts";
import type { State } from "../../vm/state.ts";
import { type HomePaths, homePaths, readGenesis } from "../home.ts";
import { takeLock } from "../lock.ts";
import type { RpcClient } from "../rpc/client.ts";
import { redactionJson, summaryJson } from "../rpc/recordjson.ts";
import type { RecordPage, RecordSummary, Redaction, RedactionPage } from "../rpc/recordtypes.ts";
import { mustHaveDatabase, noChain, openDatabase } from "../store/database.ts";
import { keyText } from "../store/layout.ts";
import { openStore } from "../store/store.ts";
import {
  type AuditProblem,
  addNeedles,
  addPieces,
  type Found,
  filesOf,
  idIn,
  readSidecar,
  searchFiles,
} from "./leaks.ts";
import { Searcher } from "./search.ts";

/**
 * Shows that payloads lie in data/records and nowhere else in a home: every file there is what the chain says, and neither a salt nor a
 * piece of a payload that is there is found in any other file. What was erased can be looked for only with a copy of it.
 */

export type AuditReport = {
  /** Whether a node was using the home; then its database could be searched as it lies on the disk only, where values may be cut in two. */
  readonly running: boolean;
  /** Of the chain. */
  readonly records: number;
  readonly erased: number;
  /** Not erased, and not here. */
  readonly missing: number;
  /** Payloads here that a request may yet put in the place of another. */
  readonly replacements: number;
  /** Files here that the chain does not know: of transactions that are not final yet. */
  readonly unknown: number;
  /** What was looked for; payloads too short or too uniform to tell are not. */
  readonly salts: number;
  readonly payloads: number;
  /** Copies of what was erased that were looked for, in data/records too. */
  readonly copies: number;
  /** What was searched: all files but those of data/records, and, of a stopped home, the values of its database. */
  readonly files: number;
  readonly bytes: number;
  readonly values: number;
  readonly problems: readonly AuditProblem[];
};

type Said = {
  readonly records: readonly Pick<RecordSummary, "id" | "cm" | "length">[];
  readonly requests: readonly Pick<Redaction, "id" | "record" | "cm" | "length" | "status">[];
};
type Beside = { readonly file: string; readonly id: string; readonly cm: string; readonly length: number };
type Judged = Pick<AuditReport, "missing" | "replacements" | "unknown"> & { readonly problems: AuditProblem[] };

/** For an edit that is being made final to reach the folder. */
const SETTLE_MS = 2_000;

/** A copy of what was erased, from somebody who still has it. */
export type Copy = { readonly name: string; readonly bytes: Uint8Array };

/**
 * Audits the home of a running node, which is asked through `client`, or of a stopped one.
 * @param copies must be found nowhere in the home
 * @throws PoflError NOT_SEARCHABLE for a copy that is too short or too uniform; NO_HOME, NO_GENESIS; NO_CHAIN; WRONG_NODE when the node is on another chain; RPC, database and disk errors
 */
export async function auditHome(dir: string, client: RpcClient, copies: readonly Copy[] = []): Promise<AuditReport> {
  const paths = homePaths(dir);
  if (!existsSync(paths.dir)) {
    throw new PoflError("NO_HOME", `${paths.dir}: no such folder; give the --home of a node`, { file: paths.dir });
  }
  const genesis = readGenesis(paths.genesis);
  const hash = genesisHash(genesis);
  // Opening would make one.
  mustHaveDatabase(paths.chain);
  let unlock: () => void;
  try {
    unlock = takeLock(paths.lock);
  } catch (error) {
    if (!isPoflError(error, "HOME_LOCKED")) throw error;
    return audit(paths, copies, true, () => askNode(client, toHex(hash)));
  }
  try {
    return await audit(paths, copies, false, (searcher) => readStore(paths, hash, searcher));
  } finally {
    unlock();
  }
}

type Source = (searcher: Searcher<Found>) => Promise<{ said: Said; values: number; problems: AuditProblem[] }>;

async function audit(
  paths: HomePaths,
  copies: readonly Copy[],
  running: boolean,
  source: Source,
): Promise<AuditReport> {
  const folder = join(paths.data, "records");
  const searcher = new Searcher<Found>();
  const counts = addNeedles(searcher, folder);
  const gone = new Searcher<Found>();
  for (const { name, bytes } of copies) {
    if (!addPieces(gone, bytes, name) || !addPieces(searcher, bytes, name)) {
      throw new PoflError("NOT_SEARCHABLE", `${name}: too short or too uniform: it would be found where it is not`);
    }
  }
  // Before the database is opened, which replaces some of its files.
  const searched = await searchFiles(paths.dir, searcher, folder);
  const leftOver = existsSync(folder) ? (await searchFiles(folder, gone)).problems : [];
  let { said, values, problems } = await source(searcher);
  let judged = judge(folder, said);
  if (running && judged.problems.length > 0) {
    // The chain may have gone on between the two looks.
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    ({ said } = await source(searcher));
    judged = judge(folder, said);
  }
  const all = [...judged.problems, ...leftOver, ...searched.problems, ...problems];
  return {
    running,
    records: said.records.length,
    erased: said.records.filter(({ length }) => length === 0).length,
    missing: judged.missing,
    replacements: judged.replacements,
    unknown: judged.unknown,
    ...counts,
    copies: copies.length,
    files: searched.files,
    bytes: searched.bytes,
    values,
    problems: firstOfEach(all).map((p) => ({ ...p, file: relative(paths.dir, p.file).split(sep).join("/") })),
  };
}

/** One problem for a file and a payload, however often it is there. */
function firstOfEach(problems: readonly AuditProblem[]): AuditProblem[] {
  const known = new Map<string, AuditProblem>();
  for (const p of problems) {
    const name = [p.file, p.what, p.id].join("\n");
    if (!known.has(name)) known.set(name, p);
  }
  return [...known.values()];
}

/** What the running node says of the head. */
async function askNode(client: RpcClient, hash: string): Promise<Awaited<ReturnType<Source>>> {
  const { genesisHash: found } = await client.call("node_status");
  if (found !== hash) {
    throw new PoflError(
      "WRONG_NODE",
      `the node at ${client.url} is on another chain than this home; give its own --rpc`,
    );
  }
  const records: RecordSummary[] = [];
  for (let from: number | null = 0; from !== null; ) {
    const page: RecordPage = await client.call("record_list", { from });
    records.push(...page.records);
    from = page.next;
  }
  const requests: Redaction[] = [];
  for (let from: number | null = 0; from !== null; ) {
    const page: RedactionPage = await client.call("redaction_list", { from });
    requests.push(...page.requests);
    from = page.next;
  }
  return { said: { records, requests }, values: 0, problems: [] };
}

/** The state in the store of a stopped node; on the way every value of its database is searched, whole. */
async function readStore(paths: HomePaths, hash: Uint8Array, searcher: Searcher<Found>) {
  const db = await openDatabase(paths.chain);
  const problems: AuditProblem[] = [];
  let values = 0;
  try {
    for await (const [key, value] of db.iterator()) {
      values++;
      const file = join(paths.chain, keyText(key));
      for (const [found, at] of searcher.find(value)) problems.push({ file, ...found, at });
    }
  } catch (error) {
    await db.close();
    throw error;
  }
  const genesisState = (): State => {
    throw noChain(paths.chain);
  };
  const store = await openStore(db, { genesisHash: hash, genesisState, path: paths.chain });
  try {
    return { said: saidBy(await store.loadState()), values, problems };
  } finally {
    await store.close();
  }
}

function saidBy(state: State): Said {
  const entries = <T>(list: "records" | "requests") =>
    Array.from({ length: state.count(list) }, (_, i) => state.entry(list, i) as Readonly<T>);
  const nobody = { total: 0n, of: new Map<string, bigint>() };
  return {
    records: entries<RecordEntry>("records").map(summaryJson),
    requests: entries<RequestEntry>("requests").map((record, index) => redactionJson(state, { index, record }, nobody)),
  };
}

/** Everything that may lie in the folder, by the name of its file. */
function allowed({ records, requests }: Said): Map<string, Beside> {
  const current = new Map(records.map(({ id, cm }) => [id, cm]));
  const replaces = requests.filter(
    ({ status, record, cm }) => status === "open" || (status === "executed" && current.get(record) === cm),
  );
  const all = [...records, ...replaces].filter(({ length }) => length > 0);
  return new Map(
    all.map(({ id, cm, length }) => {
      const file = `${id.slice(2)}.${cm.slice(2)}`;
      return [file, { file, id, cm, length }];
    }),
  );
}

function judge(folder: string, said: Said): Judged {
  const expected = allowed(said);
  const known = new Set([...said.records, ...said.requests].map(({ id }) => id));
  const problems: AuditProblem[] = [];
  const here = new Set<string>();
  let unknown = 0;
  for (const file of filesOf(folder)) {
    const id = idIn(file);
    const beside = expected.get(file);
    const path = join(folder, file);
    if (beside) {
      const sidecar = readSidecar(path);
      if (!sidecar) continue;
      if (sidecarOpens(sidecar, fromHex(beside.cm, HASH_BYTES), beside.length)) here.add(beside.cm + beside.id);
      else problems.push({ file: path, what: "does not open", id, at: null });
    } else if (known.has(id)) problems.push({ file: path, what: "left behind", id, at: null });
    else unknown++;
  }
  const executed = said.requests.filter(({ status }) => status === "executed");
  const isHere = ({ id, cm }: { id: string; cm: string }) =>
    here.has(cm + id) || executed.some((r) => r.record === id && r.cm === cm && here.has(cm + r.id));
  return {
    missing: said.records.filter((r) => r.length > 0 && !isHere(r)).length,
    replacements: said.requests.filter(({ id, cm, status }) => status === "open" && here.has(cm + id)).length,
    unknown,
    problems,
  };
}
