import { z } from "zod";
import type { NodeContext } from "./context.ts";
import { type Method, method } from "./jsonrpc.ts";
import { chainMethods } from "./methods/chain.ts";
import { custodianMethods } from "./methods/custodian.ts";
import { learningMethods } from "./methods/learning.ts";
import { nodeMethods } from "./methods/node.ts";
import { noParams } from "./methods/params.ts";
import { recordMethods } from "./methods/records.ts";
import { stateMethods } from "./methods/state.ts";
import { type Caller, subscriptionMethods } from "./subscriptions.ts";

/** Every method by its name, `rpc.discover` among them. */
export function rpcMethods(context: NodeContext): ReadonlyMap<string, Method<Caller>> {
  const methods = new Map<string, Method<Caller>>(
    Object.entries({
      ...nodeMethods(context),
      ...chainMethods(context),
      ...stateMethods(context),
      ...recordMethods(context),
      ...learningMethods(context),
      ...custodianMethods(context),
      ...subscriptionMethods(),
    }),
  );
  let document: Record<string, unknown> | undefined;
  methods.set(
    "rpc.discover",
    method({
      summary: "This interface as an OpenRPC document (spec.open-rpc.org)",
      params: noParams,
      result: z.record(z.string(), z.unknown()),
      run: () => {
        // Made once: from all schemas it takes some milliseconds.
        document ??= openRpc(methods, context.version);
        return document;
      },
    }),
  );
  return methods;
}

/** OpenRPC 1.3.2, from the very schemas that requests are checked with. */
export function openRpc<C>(methods: ReadonlyMap<string, Method<C>>, version: string): Record<string, unknown> {
  const schemaOf = (schema: z.ZodType) => {
    const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" }) as Record<string, unknown>;
    return rest;
  };
  return {
    openrpc: "1.3.2",
    info: { title: "pofl node", version, license: { name: "Apache-2.0" } },
    methods: Array.from(methods, ([name, { summary, params, result }]) => ({
      name,
      summary,
      paramStructure: "either",
      params: Object.entries(params.shape).map(([key, schema]) => ({
        name: key,
        required: !(schema as z.ZodType).safeParse(undefined).success,
        schema: schemaOf(schema as z.ZodType),
      })),
      result: { name: "result", schema: schemaOf(result) },
    })),
  };
}
