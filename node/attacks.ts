import type { EngineNet } from "../consensus/engine/types.ts";
import { decodeMessage, encodeMessage, type Message } from "../consensus/messages.ts";
import { signAttestation, signClosing, signPledge, signProposal, signVote } from "../crypto/domain.ts";
import type { Hash } from "../types/primitives.ts";

/**
 * What a dishonest node can do with its own voice, for tests and `devnet --attack`; what a hospital can do with its data is in
 * learning/attacks. The engine behind it is honest: only what leaves it is changed.
 */
export const NODE_ATTACKS = ["equivocate", "withhold"] as const;
export type NodeAttack = (typeof NODE_ATTACKS)[number];

export function isNodeAttack(text: string | undefined): text is NodeAttack {
  return NODE_ATTACKS.some((attack) => attack === text);
}

/** Frames that "withhold" keeps: what others need to decide on its block, and to hold its update. */
const WITHHELD: readonly Message["kind"][] = ["proposal", "block", "reveal", "beacon"];

/** @param secret the node's consensus key: "equivocate" signs with it past the signer's guard */
export function misbehaving(net: EngineNet, attack: NodeAttack, secret: Uint8Array, genesisHash: Hash): EngineNet {
  switch (attack) {
    case "withhold": {
      const keeps = (frame: Uint8Array) => WITHHELD.includes(decodeMessage(frame).kind);
      return {
        ...net,
        send: (peer, frame) => !keeps(frame) && net.send(peer, frame),
        broadcast: (frame) => !keeps(frame) && net.broadcast(frame),
      };
    }
    case "equivocate":
      return {
        ...net,
        // Signed messages that an engine broadcasts are its own; those of others it passes on to single peers.
        broadcast: (frame) => {
          net.broadcast(frame);
          const lie = contradiction(decodeMessage(frame), secret, genesisHash);
          if (lie) net.broadcast(encodeMessage(lie));
        },
      };
  }
}

/** Another message for the same place; undefined for what is not signed. */
function contradiction(message: Message, secret: Uint8Array, genesisHash: Hash): Message | undefined {
  switch (message.kind) {
    case "vote": {
      const m = message.value.message;
      return { kind: "vote", value: signVote(genesisHash, secret, { ...m, blockId: other(m.blockId) }) };
    }
    case "proposal": {
      const m = message.value.proposal.message;
      const proposal = signProposal(genesisHash, secret, { ...m, blockId: other(m.blockId) });
      return { kind: "proposal", value: { proposal, block: new Uint8Array(0) } };
    }
    case "pledge": {
      const m = message.value.message;
      return { kind: "pledge", value: signPledge(genesisHash, secret, { ...m, commitment: other(m.commitment) }) };
    }
    case "closing": {
      const m = message.value.message;
      return {
        kind: "closing",
        value: signClosing(genesisHash, secret, { ...m, commitments: m.commitments.slice(1) }),
      };
    }
    case "attestation": {
      const m = message.value.message;
      const updates = m.updates.slice(1);
      return { kind: "attestation", value: signAttestation(genesisHash, secret, { ...m, updates }) };
    }
    default:
      return undefined;
  }
}

function other(id: Hash): Hash {
  return id.map((byte) => byte ^ 0xff);
}
