import { CeremonyPlan } from "../../types/ceremony.ts";
import { PoflError } from "../../types/errors.ts";
import { fromHex, type Hash } from "../../types/primitives.ts";
import type { Ceremony, Epoch, Status } from "./status.ts";

/**
 * What a ceremony is for, worked out from what the chain says, so that custodians who type the same command at about the same time agree
 * on one plan without talking to each other.
 */

/** A CeremonyPlan with its keys in hexadecimal, as RPC shows it. */
export type Plan = Readonly<Pick<Ceremony, "epoch" | "generation" | "attempt" | "threshold">> &
  Pick<Office, "keys"> & { readonly dealers: readonly number[] };
/** Who makes the next key. */
export type Office = { readonly keys: readonly string[]; readonly threshold: number };

type Seen = Pick<Status, "epochs" | "ceremonies">;

/** @throws PoflError when a key is no hexadecimal of 32 bytes */
export function encodablePlan({ epoch, generation, attempt, keys, threshold, dealers }: Plan): CeremonyPlan {
  const bytes = keys.map((key) => fromHex(key, 32));
  return { epoch, generation, attempt, keys: bytes, threshold, dealers: [...dealers] };
}

export function planBytes(plan: Plan): Uint8Array {
  return CeremonyPlan.serialize(encodablePlan(plan));
}

/** Also the id of its ceremony. */
export function planId(plan: Plan): Hash {
  return CeremonyPlan.hashTreeRoot(encodablePlan(plan));
}

/** Custodians in office: those of the latest key; before the first, those of genesis. */
export function inOffice({ epochs }: Seen, genesis: Office): Office {
  return epochs.at(-1) ?? genesis;
}

/** Which key is to be made. */
export type NextKey = {
  /** Said by whoever asks for it, so that typing a command twice makes no second key. */
  readonly epoch: number;
  /** Another than the next, after one that nobody finishes. */
  readonly attempt?: number | undefined;
};

/**
 * The plan of the next key: that of the ceremony under way which names this custodian, else one by the custodians in office without those
 * whom a failed ceremony has proven to cheat.
 * @param own this node's custodian key
 * @throws PoflError KEY_EXISTS, NO_EPOCH, NO_CUSTODIANS, NOT_CUSTODIAN, TOO_FEW_CUSTODIANS
 */
export function nextKeyPlan(seen: Seen, genesis: Office, own: string, { epoch, attempt }: NextKey): Plan {
  const next = (seen.epochs.at(-1)?.epoch ?? -1) + 1;
  if (epoch < next) {
    const why = `the key of epoch ${epoch} was made already`;
    throw new PoflError("KEY_EXISTS", `${why}; --epoch ${next} makes another, under which new records will be`);
  }
  if (epoch > next) throw new PoflError("NO_EPOCH", `the next key is that of epoch ${next}, not ${epoch}`);
  const open = underWay(seen, epoch, 0).filter(({ keys }) => keys.includes(own));
  const joined = attempt === undefined ? open.at(-1) : open.find((c) => c.attempt === attempt);
  if (joined) return planOf(joined);
  const office = inOffice(seen, genesis);
  if (office.keys.length === 0) {
    throw new PoflError("NO_CUSTODIANS", "genesis names no custodians: this chain has no editable records");
  }
  const cheats = cheatsOf(seen);
  const keys = office.keys.filter((key) => !cheats.has(key));
  if (!keys.includes(own)) {
    const why = cheats.has(own)
      ? "is proven to have dealt a bad share, and the others make the next key without it"
      : "is not in office; those who are can give it a share by `pofl custodian reshare`";
    throw new PoflError("NOT_CUSTODIAN", `custodian ${own} ${why}`);
  }
  if (keys.length < office.threshold) {
    const left = `only ${keys.length} custodians are not proven to cheat, and ${office.threshold} make an edit`;
    const remedy =
      epoch === 0 ? "agree on a genesis file with others" : `hand the key of epoch ${epoch - 1} to others first`;
    throw new PoflError("TOO_FEW_CUSTODIANS", `${left}: ${remedy}`);
  }
  const { threshold } = office;
  return { epoch, generation: 0, attempt: attempt ?? nextAttempt(seen, epoch, 0), keys, threshold, dealers: [] };
}

/** What a hand-over is told beyond its new custodians. */
export type HandOver = {
  /** Custodian keys of those who deal, as many as the key's threshold; left out: the first who are not proven to cheat. */
  readonly dealers?: readonly string[] | undefined;
  readonly attempt?: number | undefined;
};

/**
 * The plan that hands the key of an epoch to `to`: that of the ceremony under way for the same keys and threshold, else a new one.
 * @throws PoflError NO_EPOCH, BAD_DEALERS, NOT_CUSTODIAN
 */
export function handOverPlan(seen: Seen, epoch: number, to: Office, own: string, told: HandOver = {}): Plan {
  const known = seen.epochs.find((e) => e.epoch === epoch);
  if (!known) {
    const latest = seen.epochs.at(-1);
    const why = latest ? `the latest key is that of epoch ${latest.epoch}` : "make one with `pofl custodian dkg`";
    throw new PoflError("NO_EPOCH", `there is no key of epoch ${epoch}; ${why}`);
  }
  const generation = known.generation + 1;
  const wanted = told.dealers && placesOf(known, told.dealers);
  const { keys, threshold } = to;
  const same = underWay(seen, epoch, generation)
    .filter((c) => c.threshold === threshold && c.keys.join() === keys.join())
    .filter((c) => wanted === undefined || c.dealers.join() === wanted.join())
    .filter((c) => told.attempt === undefined || c.attempt === told.attempt)
    .at(-1);
  const plan = same
    ? planOf(same)
    : {
        ...{ epoch, generation, attempt: told.attempt ?? nextAttempt(seen, epoch, generation), keys, threshold },
        dealers: wanted ?? firstDealers(known, cheatsOf(seen)),
      };
  if (keys.includes(own) || plan.dealers.some((place) => known.keys[place] === own)) return plan;
  const held = known.keys.includes(own) ? "is not among those who deal (see --dealers)" : "holds no share of it";
  throw new PoflError("NOT_CUSTODIAN", `custodian ${own} ${held} and is to get none: it has no part in this`);
}

/** @throws PoflError BAD_DEALERS */
function placesOf({ epoch, keys, threshold }: Epoch, dealers: readonly string[]): number[] {
  const stranger = dealers.find((key) => !keys.includes(key));
  if (stranger !== undefined) {
    throw new PoflError(
      "BAD_DEALERS",
      `${stranger} holds no share of the key of epoch ${epoch}: it can't hand it over`,
    );
  }
  if (dealers.length !== threshold) {
    const why = `${threshold} hand it over, no more and no fewer, and ${dealers.length} are named`;
    throw new PoflError("BAD_DEALERS", `the threshold of the key of epoch ${epoch} is ${threshold}: ${why}`);
  }
  return dealers.map((key) => keys.indexOf(key)).sort((a, b) => a - b);
}

/** The first who are not proven to cheat; cheats only where there are not enough others. */
function firstDealers({ keys, threshold }: Epoch, cheats: ReadonlySet<string | null>): number[] {
  const honest = [...keys.keys()].filter((place) => !cheats.has(keys[place] as string));
  const rest = [...keys.keys()].filter((place) => cheats.has(keys[place] as string));
  return [...honest, ...rest].slice(0, threshold).sort((a, b) => a - b);
}

function cheatsOf({ ceremonies }: Seen): ReadonlySet<string | null> {
  return new Set(ceremonies.map(({ culprit }) => culprit));
}

function underWay({ ceremonies }: Seen, epoch: number, generation: number): Ceremony[] {
  return ceremonies
    .filter((c) => c.epoch === epoch && c.generation === generation && (c.status === "open" || c.status === "joining"))
    .sort((a, b) => a.attempt - b.attempt);
}

/** One past the last that failed. */
function nextAttempt({ ceremonies }: Seen, epoch: number, generation: number): number {
  const failed = ceremonies.filter((c) => c.epoch === epoch && c.generation === generation && c.status === "failed");
  return Math.max(-1, ...failed.map(({ attempt }) => attempt)) + 1;
}

function planOf({ epoch, generation, attempt, keys, threshold, dealers }: Plan): Plan {
  return { epoch, generation, attempt, keys, threshold, dealers };
}
