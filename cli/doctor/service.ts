import { skewMs } from "../../shared/process/clock";
import { LatheError } from "../../shared/process/errors";
import { HealthCheckResponse_ServingStatus as Serving, HealthClient } from "../../shared/proto/grpc/health/v1/health";
import { LatencyServiceClient, type Device } from "../../shared/proto/lathe/v1/latency";
import { SearchServiceClient, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { connect, type ClientClass, type Connection, type ConnectOptions } from "../../shared/rpc/client";
import type { Definition } from "../../shared/rpc/handlers";
import type { DataFolder } from "../../shared/service/dataFolder";
import { isUnserved } from "../../shared/spec/deviceClass";
import { readyChecks } from "../stack/checks";
import type { ServiceTarget } from "./deployment";
import { fault, ok, warning, judgeClock, type Finding } from "./finding";

/** The fields of /about that the doctor reads. */
export interface About {
  service: string;
  version: string;
  time: string;
  deviceClass?: string;
  engine?: { engine: string; provider: string; precision: string };
  /** The folders of LATHE_DATA_FOLDER; absent if it is not set. */
  dataFolders?: DataFolder[];
}

const PATIENCE_MS = 5_000;
const CREDENTIALS = "give --token-file if it requires a token, and --insecure if the network encrypts";

interface ServiceReport {
  findings: Finding[];
  about?: About;
}

/** Checks that a process answers on both ports and is healthy; returns its /about. */
export async function checkService(
  target: ServiceTarget,
  options: ConnectOptions,
  patienceMs = PATIENCE_MS,
): Promise<ServiceReport> {
  const { service, name, http } = target;
  const findings = [await checkHealth(target, options, patienceMs)];
  let about: About;
  try {
    const askedAt = Date.now();
    about = (await (await get(http, "/about")).json()) as About;
    const answeredAt = Date.now();
    const skew = skewMs(Date.parse(about.time), askedAt, answeredAt);
    findings.push(judgeClock(name, skew), ...(await checkReadiness(name, http)), await checkMetrics(name, http));
  } catch (error) {
    const found = `http://${http} does not answer: ${reasonOf(error)}`;
    const mend =
      "check that the process runs, and read its log; in a cluster also check the NetworkPolicy of its port http";
    return { findings: [...findings, fault(name, found, mend)] };
  }
  if (about.service !== service)
    findings.push(fault(name, `the process at ${http} is the ${about.service} service`, "correct the address"));
  for (const { path, fault: why } of about.dataFolders ?? []) {
    const mend = "mount the volume of the data sets there, readable by the user of the service (10001 in the images)";
    if (why !== undefined) findings.push(fault(name, `data sets: ${path} cannot be read (${why})`, mend));
  }
  if (service === "latency" && about.deviceClass !== undefined)
    findings.push(await checkDevice(target, about.deviceClass, options));
  if (service === "search") findings.push(...(await checkSearches(target, options)));
  return { findings, about };
}

/** The searches that wait for a latency worker. */
async function checkSearches(target: ServiceTarget, options: ConnectOptions): Promise<Finding[]> {
  const { name } = target;
  const states = [SearchState.SEARCH_STATE_PENDING, SearchState.SEARCH_STATE_RUNNING];
  try {
    const patient = { ...options, deadlineMs: PATIENCE_MS };
    const { searches } = await withClient(SearchServiceClient, target, patient, ({ api }) =>
      api.listSearches({ pageSize: 200, pageToken: "", states, labels: {} }),
    );
    return judgeSearches(name, searches);
  } catch (error) {
    return [fault(name, LatheError.from(error).message, CREDENTIALS)];
  }
}

function judgeSearches(name: string, searches: readonly Search[]): Finding[] {
  const mend = "start a latency service with that LATHE_DEVICE_CLASS, or cancel the search";
  return searches.flatMap(({ id, conditions }) =>
    conditions.filter(isUnserved).map(({ message }) => warning(name, `search ${id}: ${message}`, mend)),
  );
}

async function checkHealth(target: ServiceTarget, options: ConnectOptions, patienceMs: number): Promise<Finding> {
  const { name, grpc } = target;
  try {
    const { status } = await withClient(HealthClient, target, { ...options, deadlineMs: patienceMs }, async (to) => {
      await to.ready(patienceMs);
      return to.api.check({ service: "" });
    });
    if (status === Serving.SERVING) return ok(name, `serves gRPC at ${grpc}`);
    return fault(name, `gRPC at ${grpc} is NOT_SERVING`, "see its checks below");
  } catch (error) {
    const mend =
      "check that the process runs, and read its log; with TLS give --ca, and for mutual TLS --cert and --key";
    return fault(name, LatheError.from(error).message, mend);
  }
}

/** Calls a process by its IP address; its certificate is checked against its host name. */
async function withClient<D extends Definition, T>(
  client: ClientClass<D>,
  { grpc, host }: ServiceTarget,
  { tls, ...options }: ConnectOptions,
  use: (connection: Connection<D>) => Promise<T>,
): Promise<T> {
  const serverName = host === undefined ? {} : { serverName: host };
  const connection = connect(client, grpc, { ...options, ...(tls && { tls: { ...tls, ...serverName } }) });
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

async function checkReadiness(name: string, http: string): Promise<Finding[]> {
  const checks = await readyChecks(http, PATIENCE_MS);
  const failing = checks.filter((check) => !check.ok);
  if (failing.length === 0) return [ok(name, `ready: ${checks.map((check) => check.name).join(", ")}`)];
  return failing.map((check) =>
    fault(name, `${check.name}: ${check.why}`, "fix this first; the service then continues by itself"),
  );
}

async function checkMetrics(name: string, http: string): Promise<Finding> {
  const text = await (await get(http, "/metrics")).text();
  const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
  if (text.includes("grpc_server_handled_total")) return ok(name, `${series} series at http://${http}/metrics`);
  return fault(name, `http://${http}/metrics has no metrics of a Lathe service`, "correct the address");
}

async function checkDevice(target: ServiceTarget, wanted: string, options: ConnectOptions): Promise<Finding> {
  const { name } = target;
  try {
    const patient = { ...options, deadlineMs: PATIENCE_MS };
    const { devices } = await withClient(LatencyServiceClient, target, patient, ({ api }) => api.listDevices({}));
    return judgeDevice(name, wanted, devices);
  } catch (error) {
    return fault(name, LatheError.from(error).message, CREDENTIALS);
  }
}

/** Checks that the device of a latency service is available. */
export function judgeDevice(name: string, wanted: string, devices: readonly Device[]): Finding {
  const device = devices.find(({ deviceClass }) => deviceClass === wanted);
  if (device?.available) return ok(name, `measures on ${wanted}: ${device.name}`);
  const mend = "schedule it on a node with that device, or set LATHE_PROFILING_PROVIDER to an available one";
  return fault(name, `device ${wanted} is not available: ${device?.reason ?? "unknown class"}`, mend);
}

async function get(http: string, path: string): Promise<Response> {
  const answer = await fetch(`http://${http}${path}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer;
}

const reasonOf = (error: unknown) => {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code || message : message;
};
