import { isIP } from "node:net";
import { PoflError } from "../../types/errors.ts";

/**
 * A page in a browser on this machine can reach loopback too. Two walls: an Origin other than our own is refused, and so is a Host
 * that is a name we don't go by, for a hostile name may be made to resolve to 127.0.0.1 (DNS rebinding); an IP address can't.
 */
export type GuardOptions = {
  /** Names that the server goes by, besides localhost and IP addresses. */
  readonly allowedHosts: readonly string[];
  /** Origins of pages that may call, e.g. `https://explorer.example`. */
  readonly allowedOrigins: readonly string[];
};

/** @throws PoflError HOST_REFUSED, ORIGIN_REFUSED */
export function checkCaller(
  headers: { readonly host?: string | undefined; readonly origin?: string | undefined },
  { allowedHosts, allowedOrigins }: GuardOptions,
): void {
  const { host, origin } = headers;
  const name = host === undefined ? undefined : hostName(host);
  if (name === undefined || !(name === "localhost" || isIP(name) !== 0 || allowedHosts.includes(name))) {
    throw new PoflError("HOST_REFUSED", `this server does not go by the name in the Host header`);
  }
  if (origin === undefined || allowedOrigins.includes(origin)) return;
  if (URL.canParse(origin) && new URL(origin).host === host?.toLowerCase()) return;
  throw new PoflError("ORIGIN_REFUSED", "pages of other origins may not call this server");
}

/** The name in a Host header, without port and brackets; undefined if it is no valid one. */
function hostName(host: string): string | undefined {
  if (!/^[a-zA-Z0-9.:[\]-]{1,255}$/.test(host) || !URL.canParse(`http://${host}/`)) return undefined;
  const { hostname, pathname, username } = new URL(`http://${host}/`);
  if (pathname !== "/" || username !== "") return undefined;
  return hostname.replace(/^\[|\]$/g, "");
}
