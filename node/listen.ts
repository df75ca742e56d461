import { errorText, PoflError } from "../types/errors.ts";

export type HostPort = { readonly host: string; readonly port: number };

/** Reads `HOST:PORT` or `[IPv6]:PORT`. @throws PoflError BAD_LISTEN */
export function parseListen(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw new PoflError("BAD_LISTEN", `"${text}" is not HOST:PORT, such as 127.0.0.1:26657`);
  return { host: (match[1] ?? match[2]) as string, port };
}

/** Why a server could not listen; `what` names it ("the RPC"), `setting` where its address is set. */
export function listenError(error: unknown, { host, port }: HostPort, what: string, setting: string): PoflError {
  const at = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const data = { host, port };
  switch ((error as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return new PoflError(
        "PORT_TAKEN",
        `${at} is taken by another program; stop it, or give ${what} another address (${setting})`,
        data,
        { cause: error },
      );
    case "EACCES":
      return new PoflError(
        "PORT_DENIED",
        `${at}: this user may not listen there; set a port above 1023 (${setting})`,
        data,
        {
          cause: error,
        },
      );
    default:
      return new PoflError("BAD_LISTEN", `${what} can't listen on ${at}: ${errorText(error)} (${setting})`, data, {
        cause: error,
      });
  }
}
