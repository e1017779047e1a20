import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { SearchServiceClient, type SearchServiceService } from "../../shared/proto/lathe/v1/search";
import { connect, type Connection, type ConnectOptions } from "../../shared/rpc/client";
import type { SearchApi } from "../search/follow";
import { onInterrupt } from "../interrupt";
import { userFolder } from "../spec/specFlags";
import { readStackFile } from "../stack/stackFile";
import { complain } from "./output";

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

/** The flags that tell where the search service is. */
export function connectionOptions(command: Command): Command {
  const address = "of the search service (default: LATHE_ADDRESS, else the stack that `lathe up` runs)";
  return serviceOptions(command, address)
    .option("--state <folder>", "of the stack that `lathe up` runs", ".lathe")
    .option("--json", "print JSON");
}

/** The address of a search service and what is needed to be let in; `address` describes the first flag. */
export function serviceOptions(command: Command, address: string): Command {
  return credentialOptions(command.option("--address <host:port>", address));
}

/** Credentials for a service. */
export function credentialOptions(command: Command): Command {
  return command
    .option("--ca <file>", "PEM of the authority to trust: turns TLS on")
    .option("--cert <file>", "PEM certificate of this client")
    .option("--key <file>", "PEM key of this client")
    .option("--token-file <file>", "file with the bearer token");
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
  /** Where the service is now, asked before each call. */
  address(): string;
  /** What to do where nobody answers there. */
  advice: string;
}

function targetOf({ address, state }: ConnectionFlags): Target {
  const given = address ?? process.env.LATHE_ADDRESS;
  if (given !== undefined) {
    const port = /^(?:\[[^\]]+\]|[^:\s/]+):(\d{1,5})$/.exec(given)?.[1];
    if (port !== undefined && Number(port) > 0 && Number(port) <= 65535)
      return { address: () => given, advice: "check the address, and that the service runs" };
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
        // The stack was here when the command began; one that is being started again is worth a retry.
        throw new LatheError("UNAVAILABLE", `the stack in ${folder} does not run at present`, {
          reason: "SERVICE_UNREACHABLE",
          cause: error,
        });
      }
    },
    advice: `the stack in ${folder} is gone or starts its search service again; see ${folder}/logs, or start it with "lathe up"`,
  };
}

/** Options of a client, beside the address. */
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

/** The search service at its address of the moment: a stack that is stopped and started again listens on other ports. */
function searchService(target: Target, options: ConnectOptions): { api: SearchApi; close(): void } {
  const connections = new Map<string, Connection<typeof SearchServiceService>>();
  const current = (): SearchApi => {
    const address = target.address();
    const connection = connections.get(address) ?? connect(SearchServiceClient, address, options);
    connections.set(address, connection);
    return connection.api;
  };
  return {
    api: new Proxy({} as SearchApi, { get: (_, method: keyof SearchApi) => current()[method] }),
    close: () => connections.forEach((connection) => connection.close()),
  };
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
