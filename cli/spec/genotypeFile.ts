import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { validateGenotype } from "../../shared/space/genotype";
import { parseGenotype } from "../../shared/spec/parse";
import { readText } from "./specFlags";

/** What the command line says about a network; each is laid over the file. */
export interface GenotypeFlags {
  file: string;
  /** Height and width. */
  input?: readonly [number, number];
  classes?: number;
}

/** The genotype of a file under the flags; INVALID_ARGUMENT with every fault at once. */
export function readGenotype({ file, input, classes }: GenotypeFlags): Genotype {
  const genotype = parseGenotype(readText(file, "genotype"), file);
  if (input !== undefined) [genotype.inputHeight, genotype.inputWidth] = input;
  if (classes !== undefined) genotype.classes = classes;
  validateGenotype(genotype);
  return genotype;
}
