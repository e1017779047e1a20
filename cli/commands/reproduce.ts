import { resolve } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { print, printJson } from "../exit";
import { userFolder } from "../userFolder";

/** Differences of one comparison that are printed. */
const SHOWN = 10;

/** `lathe reproduce`: derives genotype and figures of a result folder again and says where they differ. */
export function reproduceCommand(program: Command): void {
  program
    .command("reproduce <folder>")
    .description(
      "derive genotype and figures of a result folder again from its spec, events and weights; needs no stack",
    )
    .option("--json", "print each comparison with its differences")
    .action((given: string, { json }: { json?: boolean }) => {
      const folder = resolve(userFolder(), given);
      // Loaded when needed: the export of a network loads TensorFlow.js.
      // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
      const { NOT_COMPARED, reproduce } = require("../reproduce/reproduce") as typeof import("../reproduce/reproduce");
      const comparisons = reproduce(folder);
      const differing = comparisons.filter(({ differences }) => differences.length > 0);
      if (json) printJson({ identical: differing.length === 0, comparisons, notCompared: NOT_COMPARED });
      else
        for (const { name, from, differences } of comparisons) {
          print(`${differences.length === 0 ? "identical" : "differs  "}  ${name.padEnd(12)}  from ${from}`);
          print(...differences.slice(0, SHOWN).map((line) => `             ${line}`));
          if (differences.length > SHOWN) print(`             and ${differences.length - SHOWN} more`);
        }
      if (!json) print(NOT_COMPARED);
      if (differing.length === 0) return;
      const names = differing.map(({ name }) => name).join(", ");
      throw new LatheError("FAILED_PRECONDITION", `${folder} is not what its spec and events give: ${names}`, {
        reason: "NOT_REPRODUCED",
      });
    });
}
