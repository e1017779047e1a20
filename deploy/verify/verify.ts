import { parseArgs } from "node:util";
import { LatheError } from "../../shared/process/errors";
import { chartChecks } from "./chart/checks";
import { composeChecks } from "./compose/checks";
import { imageChecks } from "./image/checks";
import { report } from "../../shared/process/checks";

const USAGE = `npm run verify:deploy -- [--full] [--update]
  --full     builds helm and the validators with Go without a time limit, and runs the build steps of the image (as LATHE_VERIFY=full)
  --update   writes the snapshots in helm/lathe/ci/golden`;

/** Checks the chart, the image and the compose files with the tools of this machine. Exit code 1 if a check fails. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      full: { type: "boolean", default: false },
      update: { type: "boolean", default: false },
      help: { type: "boolean" },
    },
  });
  if (values.help) return console.log(USAGE);
  const full = values.full || process.env.LATHE_VERIFY === "full";
  const checks = [...chartChecks({ full, update: values.update }), ...imageChecks(full), ...composeChecks()];
  process.exitCode = (await report(checks, console.log)) ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(`verify: ${LatheError.from(error).message}\n${USAGE}`);
  process.exitCode = 2;
});
