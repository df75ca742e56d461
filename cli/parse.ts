import { InvalidArgumentError } from "commander";
import { errorText } from "../types/errors.ts";
import { fromHex, parseAmount, toHex } from "../types/primitives.ts";

/** Readers of arguments and flags; what they refuse is a usage error (exit code 2) that names the flag. */

export const whole =
  (min = 0) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < min) throw new InvalidArgumentError(`Must be a whole number from ${min}.`);
    return value;
  };

/** An amount in the smallest unit, kept as a decimal string. */
export function amount(text: string): string {
  try {
    return parseAmount(text).toString();
  } catch (error) {
    throw new InvalidArgumentError(`${errorText(error)}.`);
  }
}

/** For a flag that may be given several times. */
export const append = (text: string, all: readonly string[]): string[] => [...all, text];

/** The same for hexadecimal values of a fixed length. */
export const appendHex =
  (bytes: number) =>
  (text: string, all: readonly string[]): string[] => [...all, hex(bytes)(text)];

/** A list with commas between; no value twice. */
export const hexList =
  (bytes: number) =>
  (text: string): string[] => {
    const all = text.split(",").map((part) => hex(bytes)(part.trim()));
    if (new Set(all).size !== all.length) throw new InvalidArgumentError("Names one of them twice.");
    return all;
  };

export const hex =
  (bytes: number) =>
  (text: string): string => {
    try {
      return toHex(fromHex(text, bytes));
    } catch (error) {
      throw new InvalidArgumentError(`${errorText(error)}.`);
    }
  };
