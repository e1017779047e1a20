import type { Command } from "commander";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { costOfLargest, macsTable } from "../../shared/space/cost";
import { searchedHead, searchedWidths } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { largestGenotype } from "../../shared/space/genotype";
import { dimensionMetrics, initialArchitecture, spaceKinds } from "../../shared/space/groups";
import { kindName } from "../../shared/space/kinds/kinds";
import { contributions, formatLog10, log10Size } from "../../shared/space/size";
import type { ResolvedSpec } from "../../shared/spec/resolve";
import { print, printJson } from "../exit";
import { describedSpec, type SpecFlags } from "../spec/specFlags";
import { dimensionNames, headText, quantity } from "../view/format";
import { specOptions } from "./options";

interface Costs {
  params: number;
  macs: number;
}

/** The size, candidates and largest network of a space. */
interface SpaceDescription {
  preset: string;
  space: SearchSpace;
  /** log10 of the exact number of networks. */
  log10Size: number;
  /** log10Size here is the contribution of the dimension; the four sum to log10Size of the space. */
  dimensions: { name: string; groups: number; candidates: number; log10Size: number }[];
  groups: number;
  candidates: number;
  /** The largest network with the head of the search, and with that of retraining. */
  largest: { searched: Costs; retrained: Costs };
  /** MACs of the largest network; cost targets are shares of it. */
  costOfLargest: number;
}

export function describeSpace(resolved: ResolvedSpec, space: SearchSpace): SpaceDescription {
  const parts = new Map(contributions(space).map((part) => [part.dimension, part.log10]));
  const dimensions = dimensionMetrics(space, initialArchitecture(space)).map(({ dimension, groups, candidates }) => ({
    name: dimensionNames[dimension] ?? "",
    groups,
    candidates,
    log10Size: parts.get(dimension) ?? 0,
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
      searched: networkCosts(largest, searchedHead(space)),
      retrained: networkCosts(largest, { kind: "aggregation", pyramidChannels }),
    },
    costOfLargest: costOfLargest(space, macsTable(space)),
  };
}

export function descriptionLines({ preset, space, ...about }: SpaceDescription): string[] {
  const row = (name: string, { params, macs }: Costs) =>
    `  ${name.padEnd(32)}${quantity(params)} params, ${quantity(macs)} MACs`;
  return [
    `space of ${preset}: ${space.inputHeight}x${space.inputWidth} pixels, ${space.classes} classes, ${space.stemChannels} stem channels`,
    ...space.stages.map(
      (stage, index) =>
        `  stage ${index + 1}: ${stage.channels} channels, ${stage.minDepth} to ${stage.maxDepth} blocks, widths ${stage.widths.join(" ")}`,
    ),
    `  operations: ${spaceKinds(space).map(kindName).join(" ")}; dilations ${space.dilations.join(" ")}, scales ${space.scales.join(" ")}`,
    `  head of the search: ${headText(searchedHead(space))}`,
    ...searchedWidths(space).map(
      ({ name, candidates }) => `  ${name.replace("_", " ")}s: ${candidates(space).join(" ")}`,
    ),
    "",
    `  log10 of the number of networks  ${about.log10Size.toFixed(3)} (${formatLog10(about.log10Size)} networks)`,
    "",
    `  ${"dimension".padEnd(16)}${"groups".padStart(8)}${"candidates".padStart(12)}${"log10".padStart(12)}`,
    ...[...about.dimensions, { ...about, name: "all" }].map(
      ({ name, groups, candidates, log10Size }) =>
        `  ${name.padEnd(16)}${String(groups).padStart(8)}${String(candidates).padStart(12)}${contribution(log10Size)}`,
    ),
    "  The log10 column adds up. Operation and widths count the choices in the blocks of the deepest networks;",
    "  depth counts what the shallower networks add.",
    "",
    row("largest network, in the search", about.largest.searched),
    row("largest network, retrained", about.largest.retrained),
  ];
}

/** Three decimals, or scientific notation ("8.2e-21") for a contribution that would print as 0.000. */
function contribution(log10: number): string {
  return (log10 === 0 || log10 >= 0.0005 ? log10.toFixed(3) : log10.toExponential(1)).padStart(12);
}

/** `lathe space describe`: needs no stack. */
export function spaceCommand(program: Command): void {
  const space = program.command("space").description("describe search spaces");
  specOptions(space.command("describe"))
    .description(
      "print the number of networks in a space, its decision groups and candidates per dimension, and its largest network",
    )
    .option("--json", "print JSON")
    .action((flags: SpecFlags & { json?: boolean }) => {
      const { resolved, space } = describedSpec(flags);
      const description = describeSpace(resolved, space);
      if (flags.json) printJson(description);
      else print(...descriptionLines(description));
    });
}
