import { createRandom } from "../../shared/engine/random";
import { buildDiscrete } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import { initialStats, initialWeights } from "../../shared/network/initialise";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import type { Head } from "../../shared/space/head";
import { costsByPart, networkCosts, type PartCosts } from "../../shared/space/networkCosts";
import { blockInputs, validateGenotype } from "../../shared/space/genotype";
import { middleChannels } from "../../shared/space/kinds/kinds";
import { blockName, operationName, stageName } from "../../shared/space/parts";
import { parseGenotype } from "../../shared/spec/parse";
import { headText, quantity } from "../view/format";
import { readText } from "./specFlags";

/** The flags of a genotype. Each overrides the same field of the file. */
export interface GenotypeFlags {
  file: string;
  /** Height and width. */
  input?: readonly [number, number];
  classes?: number;
}

/** The genotype of a file, overridden by the flags; INVALID_ARGUMENT lists every fault. */
export function readGenotype({ file, input, classes }: GenotypeFlags): Genotype {
  const genotype = parseGenotype(readText(file, "genotype"), file);
  if (input !== undefined) [genotype.inputHeight, genotype.inputWidth] = input;
  if (classes !== undefined) genotype.classes = classes;
  validateGenotype(genotype);
  return genotype;
}

/** A network and the costs of its parts. */
interface NetworkDescription {
  genotype: Genotype;
  head: Head;
  parts: PartCosts[];
  params: number;
  macs: number;
}

/** The costs of a valid genotype with a head, counted by costsByPart. */
export function describeNetwork(genotype: Genotype, head: Head): NetworkDescription {
  return { genotype, head, parts: costsByPart(genotype, head), ...networkCosts(genotype, head) };
}

/** The network as ONNX, with the initial weights of a training with this seed. */
export function initialOnnx({ genotype, head }: NetworkDescription, seed: number): Uint8Array {
  const network = buildDiscrete(genotype, head);
  const weights = initialWeights(network.weights, createRandom(seed, "retraining/weights"));
  const names = Array.from({ length: genotype.classes }, (_, index) => `class ${index}`);
  return networkOnnx(network, { weights, stats: initialStats(network.stats) }, names);
}

/** The description as JSON; the genotype has the form of a genotype file. */
export function networkJson({ genotype, head, parts, params, macs }: NetworkDescription): Record<string, unknown> {
  return {
    genotype: Genotype.toJSON(genotype),
    head: head.kind,
    ...(head.kind === "aggregation" && { pyramidChannels: head.pyramidChannels }),
    parts,
    params,
    macs,
  };
}

/** The description as text: one line per part, with the operation and the input-middle-output channels of each block. */
export function networkLines({ genotype, head, parts, params, macs }: NetworkDescription): string[] {
  const { inputHeight, inputWidth, classes } = genotype;
  const forms = formsByPart(genotype);
  const row = (name: string, form: string, weights: string, operations: string) =>
    `  ${name.padEnd(18)}${form.padEnd(20)}${weights.padStart(12)}${operations.padStart(12)}`;
  return [
    `${inputHeight}x${inputWidth} pixels, ${classes} classes, ` + headText(head, genotype),
    "",
    row("part", "channels", "params", "MACs"),
    ...parts.map((part) => row(part.name, forms.get(part.name) ?? "", grouped(part.params), quantity(part.macs))),
    row("total", "", grouped(params), quantity(macs)),
    "",
    "params: convolution filters, classifier bias, gammas and betas; MACs: of the convolutions, per image",
  ];
}

/** "d4s2 112-112-124" for a block, "48 -> 112" for a reduction. */
function formsByPart(genotype: Genotype): Map<string, string> {
  const inputs = blockInputs(genotype);
  const forms = new Map([["stem", `${inputs.stem.input} -> ${inputs.stem.output}`]]);
  genotype.stages.forEach(({ blocks }, s) => {
    const stage = inputs.stages[s];
    if (!stage) return;
    forms.set(`${stageName(s + 1)}/reduction`, `${stage.reduction.input} -> ${stage.reduction.output}`);
    blocks.forEach((block, b) =>
      forms.set(
        blockName(s + 1, b + 1),
        `${operationName(block)} ${stage.blocks[b] ?? ""}-${middleChannels(block)}-${block.outputWidth}`,
      ),
    );
  });
  return forms;
}

const grouped = (value: number): string => value.toLocaleString("en-US");
