import { z } from "zod";

/** What results are made of: 64-bit integers are decimal strings, bytes are lower-case `0x` hex, heights and milliseconds JSON numbers. */

export const bytes = z.string().regex(/^0x(?:[0-9a-f]{2})*$/);
export const hash = z.string().regex(/^0x[0-9a-f]{64}$/);
export const address = z.string().regex(/^0x[0-9a-f]{40}$/);
export const amount = z.string().regex(/^(?:0|[1-9][0-9]*)$/);
export const signed = z.string().regex(/^(?:0|-?[1-9][0-9]*)$/);
export const whole = z.int().min(0);
