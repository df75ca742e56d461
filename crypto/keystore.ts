import { createHash, randomBytes, scryptSync } from "node:crypto";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { PoflError } from "../types/errors.ts";
import { fromHex, toHex } from "../types/primitives.ts";

/**
 * Secrets at rest: scrypt (RFC 7914) turns the password into a key, XChaCha20-Poly1305 seals the text. The file also carries a
 * plain checksum, which keeps no secret: with it, a bit that rotted is told from a password that is wrong.
 */

const VERSION = 1;
const SALT_BYTES = 32;
const NONCE_BYTES = 24;
const KEY_BYTES = 32;
const R = 8;
/** 128 MiB and about half a second for each guess (OWASP's first choice). */
const DEFAULT_LOG_N = 17;
/** A file is somebody's input: 1 GiB is the most that opening one may take. */
const MAX_LOG_N = 20;
const MIN_LOG_N = 10;

type Sealed = { version: number; logN: number; salt: string; nonce: string; ciphertext: string };

export type SealOptions = {
  /** scrypt's cost is 2^logN; 10 to 20. Lower only for throw-away keys. */
  readonly logN?: number;
  readonly random?: (bytes: number) => Uint8Array;
};

/**
 * Encrypts `secretJson` under a password, into the text of a keystore file. Takes about half a second of this thread.
 * @throws PoflError EMPTY_PASSWORD
 */
export function sealSecret(secretJson: string, password: string, options: SealOptions = {}): string {
  if (password === "") throw new PoflError("EMPTY_PASSWORD", "an empty password protects nothing; choose one");
  const { logN = DEFAULT_LOG_N, random = randomBytes } = options;
  if (!isCost(logN)) throw new RangeError(`logN ${logN}`);
  const salt = random(SALT_BYTES);
  const nonce = random(NONCE_BYTES);
  const ciphertext = cipher(password, logN, salt, nonce).encrypt(new TextEncoder().encode(secretJson));
  const sealed = {
    version: VERSION,
    logN,
    salt: toHex(salt),
    nonce: toHex(nonce),
    ciphertext: toHex(ciphertext),
  };
  return `${JSON.stringify({ ...sealed, checksum: checksum(sealed) }, null, 2)}\n`;
}

/**
 * Decrypts the text of a keystore file.
 * @throws PoflError BAD_KEYSTORE (not a keystore, another version, or damaged), WRONG_PASSWORD
 */
export function openSecret(text: string, password: string): string {
  const { logN, salt, nonce, ciphertext } = read(text);
  let plain: Uint8Array;
  try {
    plain = cipher(password, logN, salt, nonce).decrypt(ciphertext);
  } catch (cause) {
    throw new PoflError("WRONG_PASSWORD", "the password does not open this keystore", {}, { cause });
  }
  return new TextDecoder().decode(plain);
}

function isCost(logN: unknown): logN is number {
  return Number.isInteger(logN) && (logN as number) >= MIN_LOG_N && (logN as number) <= MAX_LOG_N;
}

function cipher(password: string, logN: number, salt: Uint8Array, nonce: Uint8Array) {
  const N = 2 ** logN;
  // The same password typed on two systems may arrive composed or decomposed.
  const key = scryptSync(password.normalize("NFKC"), salt, KEY_BYTES, { N, r: R, p: 1, maxmem: 256 * N * R });
  const header = new TextEncoder().encode(`pofl/keystore/${VERSION}/${logN}`);
  return xchacha20poly1305(new Uint8Array(key), nonce, header);
}

function checksum({ version, logN, salt, nonce, ciphertext }: Sealed): string {
  const fields = [version, logN, salt, nonce, ciphertext].join("|");
  return toHex(createHash("sha256").update(`pofl/keystore/checksum|${fields}`).digest());
}

function read(text: string): { logN: number; salt: Uint8Array; nonce: Uint8Array; ciphertext: Uint8Array } {
  const bad = (why: string, cause?: unknown) =>
    new PoflError("BAD_KEYSTORE", `not a usable keystore: ${why}; restore the file from a backup`, {}, { cause });
  let file: Partial<Record<keyof Sealed | "checksum", unknown>> | null;
  try {
    file = JSON.parse(text);
  } catch (cause) {
    throw bad("it is not JSON", cause);
  }
  if (typeof file !== "object" || file === null) throw bad("it is not a JSON object");
  const { version, logN, salt, nonce, ciphertext } = file;
  if (version !== VERSION) throw bad(`its version is ${JSON.stringify(version)}, this program reads ${VERSION}`);
  if (typeof salt !== "string" || typeof nonce !== "string" || typeof ciphertext !== "string") {
    throw bad("salt, nonce or ciphertext is missing");
  }
  if (!isCost(logN)) throw bad(`logN must be ${MIN_LOG_N} to ${MAX_LOG_N}`);
  if (checksum({ version, logN, salt, nonce, ciphertext }) !== file.checksum) throw bad("its checksum does not match");
  try {
    return {
      logN,
      salt: fromHex(salt, SALT_BYTES),
      nonce: fromHex(nonce, NONCE_BYTES),
      ciphertext: fromHex(ciphertext),
    };
  } catch (cause) {
    throw bad("salt, nonce or ciphertext is not hexadecimal of the right length", cause);
  }
}
