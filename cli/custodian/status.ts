import type { CustodianStatus } from "../../node/rpc/custodiantypes.ts";

/** What a node says of custodians: the parts of `custodian_status`. */
export type Status = CustodianStatus;
export type Epoch = Status["epochs"][number];
export type Ceremony = Status["ceremonies"][number];
export type Request = Status["requests"][number];
