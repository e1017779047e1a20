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
      "derive genotype and figures of a result folder again from its spec, events and weights, and compare the data with what the search read; needs no stack",
    )
    .option("--data <folder>", "where the data set lies now (default: the folder of the spec)")
    .option("--json", "print each comparison with its differences")
    .action(async (given: string, { json, data }: { json?: boolean; data?: string }) => {
      const folder = resolve(userFolder(), given);
      // Loaded when needed: the export of a network loads TensorFlow.js.
      // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
      const { reproduce } = require("../reproduce/reproduce") as typeof import("../reproduce/reproduce");
      const moved = data === undefined ? undefined : resolve(userFolder(), data);
      const { comparisons, notCompared } = await reproduce(folder, moved);
      const differing = comparisons.filter(({ differences }) => differences.length > 0);
      if (json) printJson({ identical: differing.length === 0, comparisons, notCompared });
      else
        for (const { name, from, differences } of comparisons) {
          print(`${differences.length === 0 ? "identical" : "differs  "}  ${name.padEnd(12)}  from ${from}`);
          print(...differences.slice(0, SHOWN).map((line) => `             ${line}`));
          if (differences.length > SHOWN) print(`             and ${differences.length - SHOWN} more`);
        }
      if (!json) print(notCompared);
      if (differing.length === 0) return;
      const names = differing.map(({ name }) => name).join(", ");
      throw new LatheError("FAILED_PRECONDITION", `${folder} is not what its spec, events and data give: ${names}`, {
        reason: "NOT_REPRODUCED",
      });
    });
}
