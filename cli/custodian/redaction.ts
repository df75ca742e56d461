import type { RpcClient } from "../../node/rpc/client.ts";
import type { Redaction } from "../../node/rpc/recordtypes.ts";
import { PoflError } from "../../types/errors.ts";

/** What the chain says of a request for redaction about a record. @throws PoflError NOT_FOUND */
export async function redactionOf(client: RpcClient, record: string, id: string): Promise<Redaction> {
  for (let from: number | null = 0; from !== null; ) {
    const { requests, next }: { requests: Redaction[]; next: number | null } = await client.call("redaction_list", {
      record,
      from,
    });
    const found = requests.find((r) => r.id === id);
    if (found) return found;
    from = next;
  }
  throw new PoflError("NOT_FOUND", `there is no request ${id} about record ${record}`);
}
