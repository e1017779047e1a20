import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { packageRoot } from "../../../shared/process/root";
import { parseDockerfile } from "../image/dockerfile";
import { judged, type Check } from "../../../shared/process/checks";
import { SERVICE_RULES, lintCompose, overlaid, type ComposeFile } from "./rules";

const deploy = join(packageRoot(), "deploy");
const read = (file: string) => readFileSync(join(deploy, file), "utf8");
const compose = (file: string) => parse(read(file), { merge: true }) as ComposeFile;

/** The checks of the compose files, alone and merged as compose merges them. */
export function composeChecks(): Check[] {
  const dockerfile = parseDockerfile(read("Dockerfile"));
  const base = compose("compose.yaml");
  const check = (name: string, file: ComposeFile): Check => ({
    name,
    run: () =>
      judged(
        lintCompose(file, dockerfile),
        `${Object.keys(SERVICE_RULES).length} rules, ${Object.keys(file.services).length} services`,
      ),
  });
  return [
    check("compose.yaml", base),
    check("compose.yaml merged with compose.gpu.yaml", overlaid(base, compose("compose.gpu.yaml"))),
  ];
}
