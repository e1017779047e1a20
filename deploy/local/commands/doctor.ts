import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Option, type Command } from "commander";
import { z } from "zod";
import { baseConfig, read } from "../../../shared/process/config";
import { LatheError } from "../../../shared/process/errors";
import { version } from "../../../shared/process/root";
import { judgeAgreement } from "../doctor/agreement";
import { checkBus } from "../doctor/bus";
import { findingLines, type Finding } from "../doctor/finding";
import { checkService, type About, type ServiceTarget } from "../doctor/service";
import { userFolder } from "../specFlags";
import { SERVICES } from "../stack";
import { credentialOptions, credentialsOf, type CredentialFlags } from "./connection";
import { whole } from "./options";
import { print, printJson } from "./output";

interface DoctorFlags extends CredentialFlags {
  hosts?: string;
  state: string;
  grpcPort: number;
  httpPort: number;
  json?: boolean;
}

/** Reason of the error with which the command ends where something is to be mended. */
const UNWELL = "DEPLOYMENT_UNWELL";

const busConfig = z.object({
  LATHE_NATS_URL: baseConfig.LATHE_NATS_URL,
  LATHE_NATS_CREDS: baseConfig.LATHE_NATS_CREDS,
  LATHE_NATS_TLS_CA_FILE: baseConfig.LATHE_NATS_TLS_CA_FILE,
  LATHE_NATS_TLS_CERT_FILE: baseConfig.LATHE_NATS_TLS_CERT_FILE,
  LATHE_NATS_TLS_KEY_FILE: baseConfig.LATHE_NATS_TLS_KEY_FILE,
});

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
    .addOption(new Option("--grpc-port <number>", "with --hosts").argParser(whole).default(50051))
    .addOption(new Option("--http-port <number>", "with --hosts").argParser(whole).default(9464))
    .option("--state <folder>", "of the stack that `lathe up` runs", ".lathe")
    .option("--json", "print JSON")
    .action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const { services, env } = deploymentOf(flags);
  const credentials = credentialsOf(flags);
  const [bus, ...told] = await Promise.all([
    checkBus(read(busConfig, env)),
    ...services.map((target) => checkService(target, credentials)),
  ]);
  const abouts = new Map<string, About>();
  services.forEach(({ name }, index) => {
    const about = told[index]?.about;
    if (about) abouts.set(name, about);
  });
  const findings: Finding[] = [...bus, ...told.flatMap((one) => one.findings), ...judgeAgreement(abouts, version())];
  const faults = findings.filter(({ level }) => level === "fault").length;
  if (flags.json) printJson({ well: faults === 0, findings });
  else print(...findingLines(findings));
  if (faults === 0) return;
  const what = faults === 1 ? "1 fault" : `${faults} faults`;
  throw new LatheError("FAILED_PRECONDITION", `the deployment has ${what}; each has its advice above`, {
    reason: UNWELL,
  });
}

interface Deployment {
  services: ServiceTarget[];
  env: NodeJS.ProcessEnv;
}

function deploymentOf({ hosts, state, grpcPort, httpPort }: DoctorFlags): Deployment {
  if (hosts !== undefined) {
    if (!hosts.includes("{service}"))
      throw new LatheError("INVALID_ARGUMENT", `--hosts is "${hosts}", must hold {service}, e.g. lathe-{service}`);
    const at = (name: string, port: number) => `${hosts.replaceAll("{service}", name)}:${port}`;
    const services = SERVICES.map((name) => ({ name, grpc: at(name, grpcPort), http: at(name, httpPort) }));
    return { services, env: process.env };
  }
  const folder = resolve(userFolder(), state);
  try {
    const content = readFileSync(join(folder, "run", "stack.json"), "utf8");
    const { nats, services } = JSON.parse(content) as { nats: string; services: Record<string, ServiceTarget> };
    const targets = Object.entries(services).map(([name, { grpc, http }]) => ({ name, grpc, http }));
    return { services: targets, env: { LATHE_NATS_URL: nats } };
  } catch (error) {
    throw new LatheError(
      "FAILED_PRECONDITION",
      `no stack runs in ${folder}: start one with "lathe up", or name the hosts of a deployment by --hosts`,
      { reason: "NO_STACK", cause: error },
    );
  }
}
