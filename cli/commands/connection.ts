import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { SearchServiceClient, type SearchServiceService } from "../../shared/proto/lathe/v1/search";
import { connect, type Connection, type ConnectOptions } from "../../shared/rpc/client";
import { complain } from "../exit";
import type { SearchApi } from "../search/follow";
import { onInterrupt } from "../interrupt";
import { userFolder } from "../userFolder";
import { readStackFile } from "../stack/stackFile";

export interface CredentialFlags {
  ca?: string;
  cert?: string;
  key?: string;
  tokenFile?: string;
}

export interface ConnectionFlags extends CredentialFlags {
  address?: string;
  state: string;
  json?: boolean;
}

/** Adds the flags that locate the search service. */
export function connectionOptions(command: Command): Command {
  const address = "address of the search service (default: LATHE_ADDRESS, otherwise that of the stack of `lathe up`)";
  return serviceOptions(command, address)
    .option("--state <folder>", "state folder of the stack that `lathe up` runs", ".lathe")
    .option("--json", "print JSON");
}

/** Adds the flags for the address and credentials of a search service; `address` is the help text of --address. */
export function serviceOptions(command: Command, address: string): Command {
  return credentialOptions(command.option("--address <host:port>", address));
}

/** Adds the flags for TLS and the bearer token. */
export function credentialOptions(command: Command): Command {
  return command
    .option("--ca <file>", "certificate authority to trust (PEM); turns TLS on")
    .option("--cert <file>", "certificate of this client (PEM)")
    .option("--key <file>", "private key of this client (PEM)")
    .option("--token-file <file>", "file that contains the bearer token");
}

function read(flag: string, file: string): Buffer {
  try {
    return readFileSync(resolve(userFolder(), file));
  } catch (error) {
    throw new LatheError("INVALID_ARGUMENT", `${flag} ${file} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

interface Target {
  /** The current host:port of the service, read before each call. */
  address(): string;
  /** Advice for the error when the service does not answer. */
  advice: string;
}

function targetOf({ address, state }: ConnectionFlags): Target {
  const given = address ?? process.env.LATHE_ADDRESS;
  if (given !== undefined) {
    const port = /^(?:\[[^\]]+\]|[^:\s/]+):(\d{1,5})$/.exec(given)?.[1];
    if (port !== undefined && Number(port) > 0 && Number(port) <= 65535)
      return { address: () => given, advice: "check the address and that the service is running" };
    throw new LatheError(
      "INVALID_ARGUMENT",
      `the address of the search service is "${given}", must be host:port with a port from 1 to 65535`,
    );
  }
  const read = () => readStackFile(state, "--address host:port").services.search.grpc;
  read();
  const folder = resolve(userFolder(), state);
  return {
    address() {
      try {
        return read();
      } catch (error) {
        // The stack ran when the command began. It may be restarting, so UNAVAILABLE asks the caller to retry.
        throw new LatheError("UNAVAILABLE", `the stack in ${folder} is not running`, {
          reason: "SERVICE_UNREACHABLE",
          cause: error,
        });
      }
    },
    advice: `the stack in ${folder} has stopped or is restarting its search service; see ${folder}/logs, or start it with "lathe up"`,
  };
}

/** The connection options of these flags, without the address. */
export function credentialsOf(flags: CredentialFlags): ConnectOptions {
  const token =
    flags.tokenFile === undefined ? undefined : read("--token-file", flags.tokenFile).toString("utf8").trim();
  return { ...tlsOf(flags), token };
}

function tlsOf({ ca, cert, key }: CredentialFlags): ConnectOptions {
  if (ca === undefined && cert === undefined && key === undefined) return {};
  if ((cert === undefined) !== (key === undefined))
    throw new LatheError("INVALID_ARGUMENT", "--cert and --key must be given together");
  return {
    tls: {
      ...(ca !== undefined && { ca: read("--ca", ca) }),
      ...(cert !== undefined && { cert: read("--cert", cert) }),
      ...(key !== undefined && { key: read("--key", key) }),
    },
  };
}

/**
 * A client that looks the address up before each call, because a restarted stack listens on other ports. A call that fails at an address
 * which the stack has left by then is UNAVAILABLE, whatever answered there: it may be repeated at the new one.
 */
function searchService(target: Target, options: ConnectOptions): { api: SearchApi; close(): void } {
  const connections = new Map<string, Connection<typeof SearchServiceService>>();
  const apiAt = (address: string): SearchApi => {
    const connection = connections.get(address) ?? connect(SearchServiceClient, address, options);
    connections.set(address, connection);
    return connection.api;
  };
  const judged = (address: string, thrown: unknown): LatheError => {
    const error = LatheError.from(thrown);
    if (error.code === "CANCELLED" || error.code === "UNAVAILABLE" || isAt(target, address)) return error;
    const message = `the stack is no longer at ${address}, where this answered: ${error.message}`;
    return new LatheError("UNAVAILABLE", message, { reason: "SERVICE_UNREACHABLE", cause: error });
  };
  const call = (method: keyof SearchApi) => {
    const address = target.address();
    const made = apiAt(address)[method] as (...given: unknown[]) => Promise<unknown> | AsyncIterable<unknown>;
    const streamed = async function* (answers: AsyncIterable<unknown>) {
      try {
        yield* answers;
      } catch (error) {
        throw judged(address, error);
      }
    };
    return (...given: unknown[]) => {
      const answer = made(...given);
      if (!(answer instanceof Promise)) return streamed(answer);
      return answer.catch((error: unknown) => {
        throw judged(address, error);
      });
    };
  };
  return {
    api: new Proxy({} as SearchApi, { get: (_, method: keyof SearchApi) => call(method) }),
    close: () => connections.forEach((connection) => connection.close()),
  };
}

/** Whether the service is at an address now. */
function isAt(target: Target, address: string): boolean {
  try {
    return target.address() === address;
  } catch {
    // The stack is not running now, so it has left the address.
    return false;
  }
}

/** Calls `use` with the search service; its signal is aborted by Ctrl-C. */
export async function withSearchService<T>(
  flags: ConnectionFlags,
  use: (api: SearchApi, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const target = targetOf(flags);
  const service = searchService(target, credentialsOf(flags));
  const interrupt = onInterrupt(complain);
  try {
    return await use(service.api, interrupt.signal);
  } catch (thrown) {
    const error = LatheError.from(thrown);
    if (error.reason !== "SERVICE_UNREACHABLE") throw error;
    throw new LatheError(error.code, `${error.message}; ${target.advice}`, { reason: error.reason, cause: error });
  } finally {
    interrupt.dispose();
    service.close();
  }
}
