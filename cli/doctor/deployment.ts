import { lookup } from "node:dns/promises";
import { LatheError } from "../../shared/process/errors";
import { SERVICES, type ServiceName } from "../stack/stack";
import { fault, type Finding } from "./finding";

/** One process of a service, and where it answers. */
export interface ServiceTarget {
  service: ServiceName;
  /** "search", or of several processes "search@10.0.0.7". */
  name: string;
  /** host:port of gRPC, and of /readyz, /about and /metrics. */
  grpc: string;
  http: string;
  /** Name that its certificate has, where the address is another. */
  host?: string;
}

interface Hosts {
  /** Host of a service, with {service} for its name. */
  pattern: string;
  /** What stands for {service}: the five services, or as a deployment names them ("latency-cuda"). */
  names: readonly string[];
  grpcPort: number;
  httpPort: number;
}

/** Every process behind the hosts: a headless service has an address for each. */
export async function resolveHosts({
  pattern,
  names,
  grpcPort,
  httpPort,
}: Hosts): Promise<{ targets: ServiceTarget[]; findings: Finding[] }> {
  if (!pattern.includes("{service}"))
    throw new LatheError("INVALID_ARGUMENT", `--hosts is "${pattern}", must hold {service}, e.g. lathe-{service}`);
  const found = async (name: string): Promise<{ targets: ServiceTarget[]; findings: Finding[] }> => {
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
  // In the order of the names, whichever answer comes first.
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
