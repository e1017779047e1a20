import type { Command } from "commander";
import type { SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { costOfLargest, macsTable, networkFigures } from "../../../shared/space/cost";
import { largestGenotype } from "../../../shared/space/genotype";
import { dimensionMetrics, initialArchitecture } from "../../../shared/space/groups";
import { log10Size } from "../../../shared/space/size";
import type { ResolvedSpec } from "../../../shared/spec/resolve";
import { describedSpec } from "../specFlags";
import { dimensionNames, quantity } from "../view/figures";
import { specOptions, type SpecOptions } from "./options";
import { print, printJson } from "./output";

interface Figures {
  params: number;
  macs: number;
}

/** What a space holds, by arithmetic alone. */
export interface SpaceDescription {
  preset: string;
  space: SearchSpace;
  /** log10 of the number of networks. */
  log10Size: number;
  dimensions: { name: string; groups: number; candidates: number }[];
  groups: number;
  candidates: number;
  /** The largest network: as it is searched, and with the aggregation head of retraining. */
  largest: { searched: Figures; retrained: Figures };
  /** Cost of the largest network in MACs, of which the cost target is a share. */
  costOfLargest: number;
}

export function describeSpace(resolved: ResolvedSpec, space: SearchSpace): SpaceDescription {
  const dimensions = dimensionMetrics(space, initialArchitecture(space)).map(({ dimension, groups, candidates }) => ({
    name: dimensionNames[dimension] ?? "",
    groups,
    candidates,
  }));
  const largest = largestGenotype(space);
  const { pyramidChannels } = resolved.retraining;
  const sum = (key: "groups" | "candidates") => dimensions.reduce((total, one) => total + one[key], 0);
  return {
    preset: resolved.preset,
    space,
    log10Size: log10Size(space),
    dimensions,
    groups: sum("groups"),
    candidates: sum("candidates"),
    largest: {
      searched: networkFigures(largest, { kind: "search" }),
      retrained: networkFigures(largest, { kind: "aggregation", pyramidChannels }),
    },
    costOfLargest: costOfLargest(space, macsTable(space)),
  };
}

export function descriptionLines({ preset, space, ...about }: SpaceDescription): string[] {
  const row = (name: string, { params, macs }: Figures) =>
    `  ${name.padEnd(32)}${quantity(params)} params, ${quantity(macs)} MACs`;
  return [
    `space of ${preset}: ${space.inputHeight}x${space.inputWidth} pixels, ${space.classes} classes, ${space.stemChannels} stem channels`,
    ...space.stages.map(
      (stage, index) =>
        `  stage ${index + 1}: ${stage.channels} channels, ${stage.minDepth} to ${stage.maxDepth} blocks, widths ${stage.widths.join(" ")}`,
    ),
    `  operations: dilations ${space.dilations.join(" ")}, scales ${space.scales.join(" ")}`,
    "",
    `  log10 of the number of networks  ${about.log10Size.toFixed(3)}`,
    "",
    `  ${"dimension".padEnd(16)}${"groups".padStart(8)}${"candidates".padStart(12)}`,
    ...[...about.dimensions, { name: "all", groups: about.groups, candidates: about.candidates }].map(
      ({ name, groups, candidates }) =>
        `  ${name.padEnd(16)}${String(groups).padStart(8)}${String(candidates).padStart(12)}`,
    ),
    "",
    row("largest network, search head", about.largest.searched),
    row("largest network, retrained", about.largest.retrained),
  ];
}

/** `lathe space describe`: needs no stack. */
export function spaceCommand(program: Command): void {
  const space = program.command("space").description("search spaces");
  specOptions(space.command("describe"))
    .description("size of a space, its groups, its largest network")
    .option("--json", "print JSON")
    .action((flags: SpecOptions & { json?: boolean }) => {
      const { resolved, space } = describedSpec(flags);
      const description = describeSpace(resolved, space);
      if (flags.json) printJson(description);
      else print(...descriptionLines(description));
    });
}
