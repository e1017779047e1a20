import { connect } from "../../shared/events/bus";
import { inspect, type BusInspection } from "../../shared/events/inspect";
import { knownLoss } from "../../shared/events/serverFaults";
import { busSettings } from "../../shared/events/service";
import { FOREIGN_ADVICE } from "../../shared/events/streams";
import type { NatsConfig } from "../../shared/process/config";
import { LatheError } from "../../shared/process/errors";
import { fault, ok, warning, judgeClock, type Finding } from "./finding";

/** The oldest nats-server that the tests use: major and minor version. */
const OLDEST = [2, 9] as const;
const ALLOW =
  "give this account the permissions of deploy/nats/permissions.conf, or set LATHE_NATS_CREDS to a file that has them";
const UPDATE =
  "start a service of this version, which creates and updates the streams; a setting that NATS cannot change needs a new stream and a migration by hand";
const quiet = { info() {}, warn() {}, error() {} };

/** Checks that NATS is reachable and has the streams, consumers and permissions that the services need. */
export async function checkBus(config: NatsConfig, patienceMs = 5_000): Promise<Finding[]> {
  const settings = busSettings(config);
  let bus;
  try {
    bus = await connect({ ...settings, name: "doctor", logger: quiet, firstConnectMs: patienceMs });
  } catch (error) {
    const { message, reason } = LatheError.from(error);
    const mend =
      reason === "NATS_FORBIDDEN"
        ? ALLOW
        : "start NATS, or set LATHE_NATS_URL (and LATHE_NATS_TLS_CA_FILE) to where it is; in a cluster look at its pods and at the NetworkPolicy";
    return [fault("nats", message, mend)];
  }
  try {
    return judgeBus(await inspect(bus, config.LATHE_NATS_REPLICAS));
  } catch (error) {
    const { message, reason } = LatheError.from(error);
    return [fault("nats", message, reason === "NATS_FORBIDDEN" ? ALLOW : "look at the log of NATS")];
  } finally {
    await bus.drain();
  }
}

/** The findings of an inspection. */
export function judgeBus(inspection: BusInspection): Finding[] {
  const { version, jetstream, streams, consumers, refused, faults, skewMs } = inspection;
  const findings: Finding[] = [judgeVersion(version)];
  if ("off" in jetstream && refused.length > 0) return [...findings, fault("permissions", jetstream.off, ALLOW)];
  if ("off" in jetstream) {
    const found = `JetStream does not answer: ${jetstream.off}`;
    return [
      ...findings,
      fault(
        "nats",
        found,
        "start nats-server with --jetstream and a store; where its disk was full, free room and restart it",
      ),
    ];
  }
  const { bytes, limit } = jetstream;
  const held = `${megabytes(bytes)} stored${limit > 0 ? ` of ${megabytes(limit)}` : ""}`;
  findings.push(
    limit > 0 && bytes > 0.9 * limit
      ? warning("nats", held, "delete old searches, or raise the storage of JetStream")
      : ok("nats", held),
  );
  if (skewMs !== undefined) findings.push(judgeClock("nats", skewMs));
  for (const message of faults) findings.push(fault("nats", message, "look at the log of NATS and at its storage"));
  for (const { name, faults, foreign } of streams)
    if (foreign !== undefined)
      findings.push(fault("streams", `${name} belongs to another application (${foreign})`, FOREIGN_ADVICE));
    else if (faults.length > 0) findings.push(fault("streams", `${name}: ${faults.join("; ")}`, UPDATE));
  const single = streams.filter(({ replicas }) => replicas === 1).length;
  if (streams.every(({ faults }) => faults.length === 0))
    findings.push(ok("streams", `${streams.length} are correct, ${single} of them with one replica`));
  for (const { subject, why } of refused) findings.push(fault("permissions", `${subject}: ${why}`, ALLOW));
  if (refused.length === 0) findings.push(ok("permissions", "all kinds of messages may be published"));
  findings.push(...judgeConsumers(consumers));
  return findings;
}

function judgeVersion(version: string): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const old = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  const found = `nats-server ${version}`;
  const loss = knownLoss(version);
  if (!old && loss !== undefined) return warning("nats", found, loss);
  return old ? fault("nats", found, `update it to ${OLDEST.join(".")} or newer`) : ok("nats", found);
}

function judgeConsumers(consumers: BusInspection["consumers"]): Finding[] {
  const waits = consumers.filter(
    ({ exists, pending, inHand, waiting }) => exists && pending > 0 && inHand + waiting === 0,
  );
  const missing = consumers.filter(({ exists }) => !exists);
  return [
    ...missing.map(({ name }) => fault("consumers", `${name} does not exist`, "start the service in its name")),
    ...waits.map(({ name, pending }) => {
      const found = `${name}: ${pending} messages wait, but no worker asks for them`;
      return fault("consumers", found, "start the service that processes them");
    }),
    ...(missing.length + waits.length === 0 ? [ok("consumers", `${consumers.length}, all in use`)] : []),
  ];
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
