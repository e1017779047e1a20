import type { Command } from "commander";
import { natsSchema, read } from "../../shared/process/config";
import { LatheError } from "../../shared/process/errors";
import { version } from "../../shared/process/root";
import { print, printJson } from "../exit";
import { judgeAgreement } from "../doctor/agreement";
import { checkBus } from "../doctor/bus";
import { checkEngines } from "../doctor/engines";
import { findingLines, type Finding } from "../doctor/finding";
import { resolveHosts } from "../doctor/deployment";
import { checkService } from "../doctor/service";
import { SERVICES } from "../stack/stack";
import { readStackFile } from "../stack/stackFile";
import { credentialOptions, credentialsOf, type CredentialFlags } from "./connection";
import { whole } from "./options";

interface DoctorFlags extends CredentialFlags {
  hosts?: string;
  services?: string;
  insecure?: boolean;
  state: string;
  grpcPort: number;
  httpPort: number;
  machine?: boolean;
  json?: boolean;
}

/** Reason of the error when a finding is a fault. */
const UNWELL = "DEPLOYMENT_UNWELL";

/** `lathe doctor`: checks a whole deployment without changing it. */
export function doctorCommand(program: Command): void {
  credentialOptions(program.command("doctor"))
    .description(
      "check a deployment (NATS, services, versions, clocks, devices, data sets, metrics) and the engines of this machine, and print how to fix each fault",
    )
    .option(
      "--hosts <pattern>",
      "host name pattern of the services, e.g. lathe-{service} for the Helm release lathe; LATHE_NATS_URL locates NATS (default: the stack of `lathe up`)",
    )
    .option(
      "--services <names>",
      "with --hosts: only these services, comma-separated, e.g. without a trainer that runs as Jobs",
    )
    .option("--insecure", "allow the token without TLS, for networks that encrypt by themselves")
    .option("--grpc-port <number>", "with --hosts: gRPC port of the services", whole, 50051)
    .option("--http-port <number>", "with --hosts: HTTP port of the services", whole, 9464)
    .option("--state <folder>", "state folder of the stack that `lathe up` runs", ".lathe")
    .option("--machine", "check only the engines of this machine, which needs no deployment")
    .option("--json", "print JSON")
    .action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  if (flags.machine && flags.hosts !== undefined)
    throw new LatheError("INVALID_ARGUMENT", "--machine is about this machine and --hosts about others: leave one out");
  // With --hosts, the engines are those of other machines, which the services report.
  const engines = flags.hosts === undefined ? checkEngines() : [];
  const findings = [...(flags.machine ? [] : await checkDeployment(flags)), ...(await engines)];
  const faults = findings.filter(({ level }) => level === "fault").length;
  if (flags.json) printJson({ well: faults === 0, findings });
  else print(...findingLines(findings));
  if (faults === 0) return;
  const what = faults === 1 ? "1 fault" : `${faults} faults`;
  throw new LatheError("FAILED_PRECONDITION", `the deployment has ${what}; the advice is above`, { reason: UNWELL });
}

async function checkDeployment(flags: DoctorFlags): Promise<Finding[]> {
  const { targets, nats, findings: unresolved } = await deploymentOf(flags);
  const credentials = { ...credentialsOf(flags), ...(flags.insecure && { insecure: true }) };
  const [bus, ...reports] = await Promise.all([
    checkBus(read(natsSchema, nats)),
    ...targets.map((target) => checkService(target, credentials)),
  ]);
  const asked = reports.flatMap(({ about }, index) => {
    const target = targets[index];
    return about && target ? [{ target, about }] : [];
  });
  const services = reports.flatMap(({ findings }) => findings);
  return [...bus, ...unresolved, ...services, ...judgeAgreement(asked, version())];
}

async function deploymentOf({ hosts, services, state, grpcPort, httpPort }: DoctorFlags) {
  if (hosts !== undefined) {
    const names = services?.split(",").map((name) => name.trim()) ?? SERVICES;
    return { ...(await resolveHosts({ pattern: hosts, names, grpcPort, httpPort })), nats: process.env };
  }
  const stack = readStackFile(state, "the hosts of a deployment by --hosts");
  const targets = SERVICES.map((service) => ({ service, name: service, ...stack.services[service] }));
  return { targets, findings: [], nats: { LATHE_NATS_URL: stack.nats } };
}
