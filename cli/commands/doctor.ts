import { Option, type Command } from "commander";
import { natsSchema, read } from "../../shared/process/config";
import { LatheError } from "../../shared/process/errors";
import { version } from "../../shared/process/root";
import { judgeAgreement } from "../doctor/agreement";
import { checkBus } from "../doctor/bus";
import { findingLines, type Finding } from "../doctor/finding";
import { resolveHosts } from "../doctor/deployment";
import { checkService } from "../doctor/service";
import { SERVICES } from "../stack/stack";
import { readStackFile } from "../stack/stackFile";
import { credentialOptions, credentialsOf, type CredentialFlags } from "./connection";
import { whole } from "./options";
import { print, printJson } from "./output";

interface DoctorFlags extends CredentialFlags {
  hosts?: string;
  services?: string;
  insecure?: boolean;
  state: string;
  grpcPort: number;
  httpPort: number;
  json?: boolean;
}

/** Reason of the error with which the command ends where something is to be mended. */
const UNWELL = "DEPLOYMENT_UNWELL";

/** `lathe doctor`: looks at a whole deployment and changes nothing in it. */
export function doctorCommand(program: Command): void {
  credentialOptions(program.command("doctor"))
    .description(
      "checks a deployment (NATS, services, versions, clocks, devices, data sets, metrics) and says what to mend",
    )
    .option(
      "--hosts <pattern>",
      "hosts of a deployment, {service} for the name: lathe-{service} for a release lathe; NATS by LATHE_NATS_URL (default: the stack that `lathe up` runs)",
    )
    .option(
      "--services <names>",
      "with --hosts: those that have hosts, comma-separated, e.g. where the trainer runs as Jobs",
    )
    .option("--insecure", "send the token without TLS, where the network encrypts")
    .addOption(new Option("--grpc-port <number>", "with --hosts").argParser(whole).default(50051))
    .addOption(new Option("--http-port <number>", "with --hosts").argParser(whole).default(9464))
    .option("--state <folder>", "of the stack that `lathe up` runs", ".lathe")
    .option("--json", "print JSON")
    .action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const { targets, nats, findings: unresolved } = await deploymentOf(flags);
  const credentials = { ...credentialsOf(flags), ...(flags.insecure && { insecure: true }) };
  const [bus, ...told] = await Promise.all([
    checkBus(read(natsSchema, nats)),
    ...targets.map((target) => checkService(target, credentials)),
  ]);
  const asked = told.flatMap(({ about }, index) => {
    const target = targets[index];
    return about && target ? [{ target, about }] : [];
  });
  const services = told.flatMap(({ findings }) => findings);
  const findings: Finding[] = [...bus, ...unresolved, ...services, ...judgeAgreement(asked, version())];
  const faults = findings.filter(({ level }) => level === "fault").length;
  if (flags.json) printJson({ well: faults === 0, findings });
  else print(...findingLines(findings));
  if (faults === 0) return;
  const what = faults === 1 ? "1 fault" : `${faults} faults`;
  throw new LatheError("FAILED_PRECONDITION", `the deployment has ${what}; each has its advice above`, {
    reason: UNWELL,
  });
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
