import { LatheError } from "../../../shared/process/errors";
import {
  HealthCheckResponse_ServingStatus as Serving,
  HealthClient,
} from "../../../shared/proto/grpc/health/v1/health";
import { LatencyServiceClient, type Device } from "../../../shared/proto/lathe/v1/latency";
import { connect, type ConnectOptions } from "../../../shared/rpc/client";
import type { DataFolder } from "../../../shared/service/dataFolder";
import { judgeClock } from "./clock";
import { fault, ok, type Finding } from "./finding";

/** Where a service answers. */
export interface ServiceTarget {
  name: string;
  /** host:port of gRPC, and of /readyz, /about and /metrics. */
  grpc: string;
  http: string;
}

/** What /about tells, as far as it is looked at. */
export interface About {
  service: string;
  version: string;
  time: string;
  traces?: boolean;
  tls?: boolean;
  tokens?: boolean;
  deviceClass?: string;
  engine?: { engine: string; provider: string; precision: string };
  dataFolder?: DataFolder;
}

const PATIENCE_MS = 5_000;

interface Told {
  findings: Finding[];
  about?: About;
}

/** Whether a service answers on both ports and is well, and what it is. */
export async function checkService(
  target: ServiceTarget,
  options: ConnectOptions,
  patienceMs = PATIENCE_MS,
): Promise<Told> {
  const { name, http } = target;
  const findings = [await checkHealth(target, options, patienceMs)];
  let about: About;
  try {
    const askedAt = Date.now();
    about = await getJson<About>(http, "/about");
    const answeredAt = Date.now();
    const told = Date.parse(about.time);
    // Within the round trip nobody can tell.
    const skew = told < askedAt ? told - askedAt : told > answeredAt ? told - answeredAt : 0;
    findings.push(judgeClock(name, skew), ...(await checkReadiness(name, http)), await checkMetrics(name, http));
  } catch (error) {
    const found = `http://${http} does not answer: ${reasonOf(error)}`;
    const mend =
      "look whether the process runs and at its log; in a cluster also at the NetworkPolicy of its port http";
    return { findings: [...findings, fault(name, found, mend)] };
  }
  if (about.service !== name)
    findings.push(fault(name, `at ${http} answers the ${about.service} service`, "correct the address"));
  if (about.dataFolder?.fault !== undefined)
    findings.push(
      fault(
        name,
        `data sets: ${about.dataFolder.path} cannot be read (${about.dataFolder.fault})`,
        "mount the volume of the data sets there, readable for user 10001",
      ),
    );
  if (name === "latency" && about.deviceClass !== undefined)
    findings.push(await checkDevice(target, about.deviceClass, options));
  return { findings, about };
}

async function checkHealth(
  { name, grpc }: ServiceTarget,
  options: ConnectOptions,
  patienceMs: number,
): Promise<Finding> {
  const connection = connect(HealthClient, grpc, { ...options, deadlineMs: patienceMs });
  try {
    await connection.ready(patienceMs);
    const { status } = await connection.api.check({ service: "" });
    if (status === Serving.SERVING) return ok(name, `serves gRPC at ${grpc}`);
    return fault(name, `gRPC at ${grpc} is NOT_SERVING`, "see its checks below");
  } catch (error) {
    const mend = "look whether the process runs and at its log; with TLS give --ca, and --cert and --key where it asks";
    return fault(name, LatheError.from(error).message, mend);
  } finally {
    connection.close();
  }
}

async function checkReadiness(name: string, http: string): Promise<Finding[]> {
  interface Ready {
    checks: { name: string; ok: boolean; why: string }[];
  }
  const { checks } = await getJson<Ready>(http, "/readyz");
  const failing = checks.filter((check) => !check.ok);
  if (failing.length === 0) return [ok(name, `ready: ${checks.map((check) => check.name).join(", ")}`)];
  return failing.map((check) =>
    fault(name, `${check.name}: ${check.why}`, "mend that first; the service goes on by itself"),
  );
}

async function checkMetrics(name: string, http: string): Promise<Finding> {
  const text = await (await get(http, "/metrics")).text();
  const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
  if (text.includes("grpc_server_handled_total")) return ok(name, `${series} series at http://${http}/metrics`);
  return fault(name, `http://${http}/metrics has no metrics of a service`, "correct the address");
}

async function checkDevice({ name, grpc }: ServiceTarget, wanted: string, options: ConnectOptions): Promise<Finding> {
  const connection = connect(LatencyServiceClient, grpc, { ...options, deadlineMs: PATIENCE_MS });
  try {
    const { devices } = await connection.api.listDevices({});
    return judgeDevice(name, wanted, devices);
  } catch (error) {
    return fault(name, LatheError.from(error).message, "give --token-file where it asks for a token");
  } finally {
    connection.close();
  }
}

/** The device that a latency service measures on. */
export function judgeDevice(name: string, wanted: string, devices: readonly Device[]): Finding {
  const device = devices.find(({ deviceClass }) => deviceClass === wanted);
  if (device?.available) return ok(name, `measures on ${wanted}: ${device.name}`);
  const mend = "schedule it on a node with that device, or set LATHE_DEVICE_CLASS to one that is there";
  return fault(name, `device ${wanted} is not there: ${device?.reason ?? "unknown class"}`, mend);
}

async function get(http: string, path: string): Promise<Response> {
  return fetch(`http://${http}${path}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
}

async function getJson<T>(http: string, path: string): Promise<T> {
  const answer = await get(http, path);
  // A service that is not ready answers 503 with the same body.
  if (answer.status !== 200 && answer.status !== 503) throw new Error(`${path} answers ${answer.status}`);
  return (await answer.json()) as T;
}

const reasonOf = (error: unknown) => {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code || message : message;
};
