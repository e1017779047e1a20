import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { deployOnnx, type NetworkOrigin } from "../../shared/network/deploy";
import { buildDiscrete, type DiscreteNetwork } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import type { NetworkParameters } from "../../shared/network/networkGraph";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { searchedHead, type Head } from "../../shared/space/head";
import { derivedFiles } from "../model/derivedFiles";
import type { Comparison } from "./compare";
import type { ResultFolder } from "./folder";

/** Exports each ONNX file again from the genotype and its file of weights, and compares the bytes. */
export function compareNetworks(read: ResultFolder): Comparison[] {
  const { folder, result } = read;
  const networks = [...derivedFiles(folder, result.target).reverse(), "network.onnx"];
  return [
    ...networks.flatMap((file) =>
      compared(read, basename(file, ".onnx"), file, (network, parameters, { classes, license }) =>
        networkOnnx(network, parameters, listed(classes), license),
      ),
    ),
    ...compared(read, "network", "deploy.onnx", (network, parameters, { classes, colors, license, search = "" }) =>
      deployOnnx(network, parameters, {
        ...{ classes: listed(classes), search, license, validationMiou: result.retrainedMiou },
        ...(colors !== undefined && { colors: JSON.parse(colors) as NetworkOrigin["colors"] }),
      }),
    ),
  ];
}

const listed = (classes = "[]"): string[] => JSON.parse(classes) as string[];

/** The network of a file of weights. Before its training it names its own genotype: a repair may have changed it since. */
function networkOf(header: object | { head: Head }, trained: Genotype): DiscreteNetwork {
  if ("head" in header) return buildDiscrete(trained, header.head);
  const genotype = Genotype.fromJSON(header);
  return buildDiscrete(genotype, searchedHead(genotype));
}

/** Compares an ONNX file with what `exported` makes of a file of weights and the file's own metadata; nothing where one of them is missing. */
function compared(
  { folder, genotype }: ResultFolder,
  name: string,
  file: string,
  exported: (
    network: DiscreteNetwork,
    parameters: NetworkParameters,
    metadata: Readonly<Record<string, string | undefined>>,
  ) => Uint8Array,
): Comparison[] {
  const [weightsFile, onnxFile] = [join(folder, `${name}.weights`), join(folder, file)];
  if (!existsSync(weightsFile) || !existsSync(onnxFile)) return [];
  const { header, arrays } = decodeBundle<object | { head: Head }>(readFileSync(weightsFile), `${name}.weights`);
  const { weights = new Float32Array(), stats = new Float32Array() } = arrays;
  const stored = readFileSync(onnxFile);
  const again = exported(networkOf(header, genotype), { weights, stats }, onnxMetadata(stored));
  const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  return [
    {
      ...{ name: file, from: `genotype and ${name}.weights, exported again: each byte` },
      differences:
        Buffer.compare(again, stored) === 0 ? [] : [`SHA-256 is ${digest(stored)}, derived ${digest(again)}`],
    },
  ];
}
