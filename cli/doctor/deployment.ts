import { lookup } from "node:dns/promises";
import { LatheError } from "../../shared/process/errors";
import { SERVICES, type ServiceName } from "../stack/stack";
import { fault, type Finding } from "./finding";

/** One process of a service and its addresses. */
export interface ServiceTarget {
  service: ServiceName;
  /** Name for findings: "search", or "search@10.0.0.7" if the service has several processes. */
  name: string;
  /** host:port of gRPC; `http` is that of /readyz, /about and /metrics. */
  grpc: string;
  http: string;
  /** Host name of its certificate, if `grpc` is an IP address. */
  host?: string;
}

interface Hosts {
  /** Host name pattern; {service} is replaced by a name. */
  pattern: string;
  /** Values of {service}: the five services, or the names of a deployment such as "latency-cuda". */
  names: readonly string[];
  grpcPort: number;
  httpPort: number;
}

interface Resolved {
  targets: ServiceTarget[];
  findings: Finding[];
}

/** Resolves the hosts to all processes: a headless service has one address per process. */
export async function resolveHosts({ pattern, names, grpcPort, httpPort }: Hosts): Promise<Resolved> {
  if (!pattern.includes("{service}"))
    throw new LatheError("INVALID_ARGUMENT", `--hosts is "${pattern}", must hold {service}, e.g. lathe-{service}`);
  const found = async (name: string): Promise<Resolved> => {
    const service = serviceOf(name);
    const host = pattern.replaceAll("{service}", name);
    try {
      const addresses = await lookup(host, { all: true });
      const targets = addresses.map(({ address, family }) => {
        const at = family === 6 ? `[${address}]` : address;
        const label = addresses.length > 1 ? `${name}@${address}` : name;
        return { service, name: label, grpc: `${at}:${grpcPort}`, http: `${at}:${httpPort}`, host };
      });
      return { targets, findings: [] };
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code ?? String(error);
      const mend =
        "correct --hosts, or start a replica; what runs as Jobs has no address: name the others by --services";
      return { targets: [], findings: [fault(name, `host ${host} has no address (${why})`, mend)] };
    }
  };
  // Promise.all keeps the order of the names.
  const all = await Promise.all(names.map(found));
  return { targets: all.flatMap(({ targets }) => targets), findings: all.flatMap(({ findings }) => findings) };
}

function serviceOf(name: string): ServiceName {
  const found = SERVICES.find((service) => name === service || name.startsWith(`${service}-`));
  if (found) return found;
  throw new LatheError(
    "INVALID_ARGUMENT",
    `--services names "${name}", must be one of ${SERVICES.join(", ")}, or one of them with - and more`,
  );
}
