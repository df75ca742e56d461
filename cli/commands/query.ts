import type { Command } from "commander";
import type { Checkpoint } from "../../consensus/light/chain.ts";
import { type TaskSpec, taskSchema } from "../../genesis/task.ts";
import { createRpcClient, type RpcClient } from "../../node/rpc/client.ts";
import type { NodeStatus, RoundJson, TxFound } from "../../node/rpc/types.ts";
import { fromHex, toHex } from "../../types/primitives.ts";
import { contextOf } from "../context.ts";
import { examples } from "../examples.ts";
import { usage } from "../failure.ts";
import { orUnproven, proofOf, TRUST_HELP, trustOf, verifiedHeader } from "../light.ts";
import { bytesText, grouped, type Output } from "../output.ts";
import { hex } from "../parse.ts";

/** Questions to a node. With --json each prints the RPC result as it is, so that scripts and curl see the same. */

export function clientOf(command: Command): { client: RpcClient; out: Output } {
  const { globals, out } = contextOf(command);
  return { client: createRpcClient(globals.rpc), out };
}

const when = (ms: number) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);
const fixed = (x: number | null | undefined, digits = 3) => (x === null || x === undefined ? "–" : x.toFixed(digits));

/** `7` or `latest`. */
function heightOf(text: string | undefined): number | "latest" {
  if (text === undefined || text === "latest") return "latest";
  if (!/^\d{1,15}$/.test(text)) throw usage(`"${text}" is neither a height nor "latest"`);
  return Number(text);
}

const fields = (out: Output, rows: readonly (readonly [string, string | number | boolean | null])[]) => {
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) out.line(`${name.padEnd(width)}  ${value ?? "–"}`);
};

function validatorText({ validator, jailed }: NodeStatus): string {
  if (validator) return "yes";
  return jailed ? `no: jailed since height ${jailed.since}; from height ${jailed.until} on: pofl tx unjail` : "no";
}

export function addQueries(program: Command): void {
  const status = program
    .command("status")
    .description("what a node is doing")
    .action(async (_: object, self: Command) => {
      const { client, out } = clientOf(self);
      const s = await client.call("node_status");
      out.result(s, () =>
        fields(out, [
          ["Node", `${s.moniker} ${s.version}`],
          ["Chain", `${s.chainId} ${s.genesisHash}`],
          ["Height", `${s.height} ${s.headHash}`],
          ["Time", when(s.headTime)],
          ["Doing", s.catchingUp ? "catching up" : `height ${s.height + 1}, round ${s.round}: ${s.phase}`],
          ["Peers", s.peers],
          ["Validator", validatorText(s)],
          ["Address", s.address],
          ["Peer id", s.peerId],
        ]),
      );
    });
  examples(status, ["pofl status --rpc http://127.0.0.1:26667", "of the second node of a testnet"]);

  const block = program
    .command("block")
    .description("a block")
    .argument("[H]", "height, or latest", "latest")
    .action(async (h: string, _: object, self: Command) => {
      const height = heightOf(h);
      const { client, out } = clientOf(self);
      const b = await client.call("chain_getBlock", { height });
      out.result(b, () => {
        fields(out, [
          ["Height", b.header.height],
          ["Hash", b.hash],
          ["Parent", b.header.parent],
          ["Time", when(b.header.time)],
          ["Builder", `${b.header.proposer} in round ${b.header.round}`],
          ["State root", b.header.stateRoot],
          ["Model root", b.header.modelRoot],
          ["Certificate", `of its parent: ${b.lastCommit.signatures.length} signatures in round ${b.lastCommit.round}`],
          ["Learning", b.learning ? `${b.learning.updates} updates, ${b.learning.attestations} attestations` : "none"],
          ["Size", bytesText(b.size)],
        ]);
        if (b.txs.length > 0) {
          out.table(
            ["transaction", "kind", "sender", "fee"],
            b.txs.map((t) => [t.hash, t.kind, t.sender, grouped(t.fee)]),
          );
        }
      });
    });
  examples(block, ["pofl block 7", "the block at height 7"]);

  const account = program
    .command("account")
    .description("balance and nonce of an account")
    .argument("<ADDR>", "0x and 40 hexadecimal digits", hex(20))
    .option("--prove", "believe no node: verify the proof against headers that are verified here")
    .option("--trust <HEIGHT:HASH>", TRUST_HELP, trustOf)
    .action(async (address: string, flags: { prove?: boolean; trust?: Checkpoint }, self: Command) => {
      const { client, out } = clientOf(self);
      if (flags.trust && !flags.prove) throw usage("--trust says what --prove verifies against: give both");
      if (flags.prove) return proveAccount(address, flags.trust, self);
      const a = await client.call("account_get", { address });
      out.result(a, () =>
        fields(out, [
          ["Address", a.address],
          ["Balance", grouped(a.balance)],
          ["Nonce", a.nonce],
          ["Height", a.height],
        ]),
      );
    });
  examples(
    account,
    ["pofl account 0x… --prove --home /srv/pofl", "verified with all headers since the genesis of that home"],
    ["pofl account 0x… --prove --trust 120000:0x…", "verified with the headers since a block that you trust"],
  );

  const miners = program
    .command("miners")
    .description("everyone who is or was bonded")
    .action(async (_: object, self: Command) => {
      const { client, out } = clientOf(self);
      const list = await client.call("miner_list");
      out.result(list, () =>
        out.table(
          ["miner", "address", "stake", "earned", "accepted", "kept out", "reputation", "state"],
          list.map((m) => [
            m.moniker,
            m.address,
            grouped(m.stake),
            grouped(m.earned),
            String(m.accepted),
            String(m.rejected),
            m.reputation.toFixed(3),
            m.jailed ? "jailed" : m.stake === "0" ? "left" : "bonded",
          ]),
        ),
      );
    });
  examples(miners, ["pofl miners", "stake, pay and reputation of each"]);

  const validators = program
    .command("validators")
    .description("who decides a height")
    .argument("[H]", "height (default: the next one)")
    .action(async (h: string | undefined, _: object, self: Command) => {
      const { client, out } = clientOf(self);
      const set = await client.call("validator_set", h === undefined ? {} : { height: heightOf(h) });
      out.result(set, () => {
        out.line(`Height ${set.height}, power ${grouped(set.power)}`);
        out.table(
          ["index", "validator", "address", "power"],
          set.validators.map((v) => [String(v.index), v.moniker, v.address, grouped(v.power)]),
        );
      });
    });
  examples(validators, ["pofl validators 12", "those of height 12"]);

  const task = program
    .command("task")
    .description("the tasks, or one of them")
    .argument("[ID]", "0x and 64 hexadecimal digits", hex(32))
    .action(async (id: string | undefined, _: object, self: Command) => {
      const { client, out } = clientOf(self);
      if (id === undefined) {
        const list = await client.call("task_list");
        out.result(list, () =>
          out.table(
            ["task", "id", "state", "rounds", "escrow"],
            list.map((t) => [t.name, t.id, t.status, String(t.round), grouped(t.escrow)]),
          ),
        );
        return;
      }
      const t = await client.call("task_get", { id });
      out.result(t, () => {
        fields(out, [
          ["Task", t.name],
          ["Id", t.id],
          ["State", t.status],
          ["Rounds", t.round],
          ["Escrow", grouped(t.escrow)],
          ["Bounty", `${grouped(t.bounty)} a round`],
          ["Aggregation", aggregationText(taskSchema.parse(t.spec).aggregation)],
          ["Model", t.modelRoot],
        ]);
        out.line(JSON.stringify(t.spec, null, 2));
      });
    });
  examples(task, ["pofl task", "all tasks and what became of them"]);

  const round = program
    .command("round")
    .description("a learning round: who sent what, how it was judged, what it was paid")
    .argument("[H]", "height, or latest", "latest")
    .action(async (h: string, _: object, self: Command) => {
      const height = heightOf(h);
      const { client, out } = clientOf(self);
      const r = await client.call("round_get", height === "latest" ? {} : { height });
      out.result(r, () => printRound(out, r));
    });
  examples(round, ["pofl round 5", "the round that block 5 carries"]);

  const peers = program
    .command("peers")
    .description("whom the node is connected to")
    .action(async (_: object, self: Command) => {
      const { client, out } = clientOf(self);
      const list = await client.call("net_peers");
      out.result(list, () =>
        out.table(
          ["peer", "address", "direction", "score", "in", "out"],
          list.map((p) => [
            p.peer,
            p.address,
            p.direction,
            p.score.toFixed(1),
            bytesText(p.bytesIn),
            bytesText(p.bytesOut),
          ]),
        ),
      );
    });
  examples(peers, ["pofl peers", "peer ids, addresses and traffic"]);

  const params = program
    .command("params")
    .description("the parameters of the chain")
    .action(async (_: object, self: Command) => {
      const { client, out } = clientOf(self);
      const value = await client.call("chain_params");
      out.result(value, () => out.line(JSON.stringify(value, null, 2)));
    });
  examples(params, ["pofl params", "timeouts, seats, issuance, fees"]);
}

async function proveAccount(address: string, trust: Checkpoint | undefined, self: Command): Promise<void> {
  const { client, out } = clientOf(self);
  const p = await orUnproven(client.call("account_prove", { address }));
  const { header, verified } = await verifiedHeader(self, client, p.height, trust);
  const { provenAccount } = await import("../../consensus/light/proof.ts");
  const proven = provenAccount(header, fromHex(address), proofOf(p.proof));
  const account = { address, balance: String(proven.balance), nonce: proven.nonce };
  out.result({ ...p, account, verified }, () =>
    fields(out, [
      ["Address", address],
      ["Balance", grouped(account.balance)],
      ["Nonce", account.nonce],
      ["Height", p.height],
      ["State root", toHex(header.stateRoot)],
      ["Proof", `verified; index ${p.proof.index}, ${p.proof.branch.length} sibling hashes (whole with --json)`],
      ["Trusted", verified.text],
    ]),
  );
}

function printRound(out: Output, r: RoundJson): void {
  const m = r.metrics;
  fields(out, [
    ["Height", `${r.height} ${r.blockHash}`],
    ["Built by", r.proposer],
    [
      "Before it",
      m ? `loss ${fixed(m.loss, 2)}  accuracy ${fixed(m.accuracy)}  AUROC ${fixed(m.auroc)} (${m.n} members)` : "–",
    ],
    ["Selection", `f = ${r.fKrum} of ${r.distinct}`],
    ["Model", r.modelRoot],
    ["Committee", r.committee.map((c) => c.moniker).join(", ")],
  ]);
  out.table(
    ["miner", "status", "Krum score", "harmful/neutral/helpful", "agreement", "credit", "pay"],
    r.updates.map((u) => [
      u.moniker,
      u.status,
      grouped(u.krumScore),
      `${u.votes.harmful}/${u.votes.neutral}/${u.votes.helpful}`,
      cosine(u.contribution),
      cosine(u.credit),
      grouped(u.pay),
    ]),
  );
}

/** An agreement as the cosine that it is. */
function cosine(of65536: string): string {
  return (Number(of65536) / 65_536).toFixed(3);
}

/** "nnm+multi-krum, f = auto up to 3, weights equal, fedadam" */
function aggregationText({ rule, f, maxF, weights, optimiser = "fedavg" }: TaskSpec["aggregation"]): string {
  const tolerance = rule === "fedavg" ? "f = 0" : f === "auto" ? `f = auto, up to ${maxF}` : `f = ${f}`;
  return `${rule}, ${tolerance}, weights ${weights}, server optimiser ${optimiser}`;
}

export function printTx(out: Output, found: TxFound): void {
  const { tx, receipt } = found;
  fields(out, [
    ["Transaction", tx.hash],
    ["Kind", tx.kind],
    ["Sender", `${tx.sender}, nonce ${tx.nonce}`],
    ["Fee", grouped(tx.fee)],
    ["State", found.status === "pending" ? "waits for a block" : `final in block ${found.height}`],
    ["Result", receipt === null ? null : receipt.code === null ? "done" : `failed: ${receipt.code} (the fee was paid)`],
  ]);
  // A task is a page of JSON on one line: whole with --json.
  const shown = (_: string, v: unknown) => (typeof v === "string" && v.length > 160 ? `${v.slice(0, 120)}…` : v);
  out.line(JSON.stringify(tx.payload, shown, 2));
}
