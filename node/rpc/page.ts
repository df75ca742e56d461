/** The page at `GET /`: what the node says of itself, by its own RPC. Served as it is; it needs nothing else. */
export const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pofl node</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
td{font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
#error{color:#a00}
</style>
<h1 id="title">pofl node</h1>
<p id="error"></p>
<h2>Status</h2><table id="status"></table>
<h2>Latest round</h2><table id="round"></table>
<h2>Miners</h2><table id="miners"></table>
<p>JSON-RPC 2.0: POST to this address; <code>rpc.discover</code> lists the methods.</p>
<script>
const call = async (method) => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method });
  const answer = await (await fetch("/", { method: "POST", headers: { "content-type": "application/json" }, body })).json();
  if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error.data);
  return answer.result;
};
// Text only: monikers come from strangers.
const fill = (id, rows) => document.getElementById(id).replaceChildren(...rows.map((cells, i) => {
  const row = document.createElement("tr");
  row.append(...cells.map((text) => Object.assign(document.createElement(i === 0 && cells.length > 2 ? "th" : "td"), { textContent: text })));
  return row;
}));
const short = (hex) => hex === null ? "" : hex.slice(0, 14) + "…";
async function show() {
  try {
    const status = await call("node_status");
    document.getElementById("title").textContent = status.moniker + " on " + status.chainId;
    fill("status", Object.entries(status).map(([k, v]) => [k, String(v)]));
    const miners = await call("miner_list");
    fill("miners", [["moniker", "address", "stake", "reputation", "accepted", "rejected", "blocks", "earned"], ...miners.map((m) =>
      [m.moniker, short(m.address), m.stake, m.reputation.toFixed(3), m.accepted, m.rejected, m.blocksProposed, m.earned])]);
    try {
      const r = await call("round_get");
      fill("round", [["height " + r.height, "status", "Krum score", "votes −/0/+", "agreement", "credit", "pay"], ...r.updates.map((u) =>
        [u.moniker, u.status, u.krumScore, [u.votes.harmful, u.votes.neutral, u.votes.helpful].join("/"), (u.contribution / 65536).toFixed(3), (u.credit / 65536).toFixed(3), u.pay])]);
    } catch (e) {
      fill("round", [[e.message]]);
    }
    document.getElementById("error").textContent = "";
  } catch (e) {
    document.getElementById("error").textContent = "The node does not answer: " + e.message;
  }
}
show();
setInterval(show, 2000);
</script>
</html>
`;
