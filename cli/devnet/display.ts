import type { RoundJson } from "../../node/rpc/types.ts";
import { bytesText, grouped, type Output } from "../output.ts";
import type { Followed } from "./follow.ts";
import type { DevNode } from "./processes.ts";
import type { DevnetReport, ScoreJson } from "./report.ts";

/** What a person sees of a devnet: progress while it runs, then the report. */

const fixed = (x: number | null | undefined, digits = 3) => (x === null || x === undefined ? "–" : x.toFixed(digits));
const percent = (x: number | null | undefined) => (x === null || x === undefined ? "–" : `${(100 * x).toFixed(1)} %`);

/** One line per round, and on a terminal a line below that says what is going on. */
export class Progress {
  readonly #out: Output;
  readonly #names: Map<string, string>;
  #printed = 0;
  #transient = false;

  constructor(out: Output, nodes: readonly DevNode[]) {
    this.#out = out;
    this.#names = new Map(nodes.map((n) => [n.address, n.moniker]));
  }

  show({ rounds, miners, status }: Followed): void {
    const list = [...rounds.values()].sort((a, b) => a.height - b.height);
    for (const round of list.slice(this.#printed)) {
      this.#clear();
      this.#out.note(this.#roundText(round));
    }
    this.#printed = list.length;
    if (!this.#out.live || !status) return;
    const standing = [...miners]
      .sort((a, b) => Number(BigInt(b.earned) - BigInt(a.earned)))
      .map((m) => `${m.moniker} ${grouped((BigInt(m.earned) / 1_000_000n).toString())}`)
      .join("  ");
    const text = `height ${status.height + 1}  ${status.phase.padEnd(10)}  peers ${status.peers}  earned: ${standing}`;
    this.#clear();
    process.stdout.write(text.slice(0, (process.stdout.columns ?? 80) - 1));
    this.#transient = true;
  }

  #roundText({ height, metrics, updates, proposer, fKrum, distinct }: RoundJson): string {
    const out = updates.filter((u) => !u.status.startsWith("accepted"));
    const name = (address: string) => this.#names.get(address) ?? address.slice(0, 10);
    const refused = out.length > 0 ? `  kept out: ${out.map((u) => `${name(u.miner)} (${u.status})`).join(", ")}` : "";
    const best = [...updates].sort((a, b) => Number(BigInt(b.pay) - BigInt(a.pay)))[0];
    const measured = metrics
      ? `loss ${fixed(metrics.loss, 2)}  accuracy ${fixed(metrics.accuracy)}  AUROC ${fixed(metrics.auroc)}`
      : "no metrics";
    return (
      `round ${String(height).padStart(3)}  ${measured}  updates ${updates.length - out.length} of ${updates.length}` +
      `  f = ${fKrum} of ${distinct}  block by ${name(proposer)}  best ${best ? name(best.miner) : "–"}${refused}`
    );
  }

  #clear(): void {
    if (this.#transient) process.stdout.write("\r\u001b[2K");
    this.#transient = false;
  }

  end(): void {
    this.#clear();
  }
}

/** "f = 2 of 7", and what it means that it is none. */
export function toleranceText({ rule, fKrum, distinct }: DevnetReport["task"]): string {
  const text = `f = ${fKrum} of ${distinct}`;
  // These two need no f.
  if (fKrum > 0 || rule === "median" || rule === "centered-clipping") return text;
  return `${text} (${rule === "fedavg" ? "a mean tolerates no poisoned update" : "no poisoned update is excluded by geometry"})`;
}

export function printReport(out: Output, report: DevnetReport): void {
  const { task, rounds, test, miners, finality, bytes } = report;
  const first = rounds[0];
  out.line();
  out.line(out.paint("bold", `Task ${task.name}: ${task.rounds} rounds, ${task.reached ? "target reached" : "ended"}`));
  if (task.metric) out.line(`Target ${task.metric} ${task.target}, the median that the committee attests.`);
  out.line(`Selection: ${task.rule}, ${toleranceText(task)}.`);
  out.line();
  out.line(
    out.paint("bold", "Attested metrics of the model before each round (round 1 starts from the untrained model)"),
  );
  out.table(
    ["height", "accepted", "kept out", "loss", "accuracy", "AUROC"],
    rounds.map((r) => [
      String(r.height),
      String(r.accepted),
      String(r.rejected),
      fixed(r.loss, 2),
      fixed(r.accuracy),
      fixed(r.auroc),
    ]),
  );
  if (test) {
    out.line();
    out.line(
      out.paint("bold", "Test rows of all hospitals, which nobody trained on or voted with") +
        ` (prevalence ${percent(test.prevalence)}; before training: AUROC ${fixed(first?.auroc)})`,
    );
    const hospitals = Object.keys(test.federated.perHospital);
    const cells = (name: string, s: ScoreJson) => [
      name,
      percent(s.accuracy),
      fixed(s.auroc),
      ...hospitals.map((h) => percent(s.perHospital[h]?.accuracy)),
    ];
    out.table(
      ["trained", "accuracy", "AUROC", ...hospitals],
      [
        ...Object.entries(test.localOnly).map(([name, s]) => cells(`alone: ${name}`, s)),
        cells("federated", test.federated),
        cells("pooled (not allowed)", test.pooled),
      ],
    );
  }
  out.line();
  out.table(
    ["miner", "accepted", "kept out", "training pay", "earned in all", "reputation", "stake", "blocks"],
    miners.map((m) => [
      m.honest ? m.moniker : `${m.moniker} (attacker)`,
      String(m.accepted),
      Object.entries(m.rejected)
        .map(([why, n]) => `${n} ${why}`)
        .join(", ") || "0",
      grouped(m.trainingPay),
      grouped(m.reward),
      m.reputation.toFixed(3),
      m.jailed ? `${grouped(m.stake)} jailed` : grouped(m.stake),
      String(m.blocksProposed),
    ]),
  );
  out.line();
  out.line(
    `Finality p50 ${fixed(finality.p50Ms, 0)} ms, p95 ${fixed(finality.p95Ms, 0)} ms; ${finality.roundsPerSecond.toFixed(1)} rounds/s; ` +
      `sent: ${bytesText(bytes.direct)} directly, ${bytesText(bytes.gossip)} by gossip, ${bytesText(bytes.blobs)} of blobs; disk ${bytesText(bytes.disk)}`,
  );
  const heads = new Set(report.nodes.filter((n) => n.honest).map((n) => n.headHash));
  const { headHash, height } = report;
  if (height === 0) out.line("No block was made.");
  else if (heads.size > 1 || headHash === null) {
    out.line(`Height ${height}: NOT every honest node gave the same head.`);
  } else out.line(`Head ${headHash} at height ${height} on every honest node.`);
  const seconds = `${report.seconds.toFixed(1)} s`;
  out.line(
    report.ok
      ? `${out.paint("green", "Done")} in ${seconds}.`
      : `${out.paint("red", "Failed")} after ${seconds}: ${report.reason}.`,
  );
}
