import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete, type Head } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { derivedFiles } from "../model/derivedFiles";
import type { Comparison } from "./compare";
import type { ResultFolder } from "./folder";

/** Exports each ONNX file again from the genotype and its file of weights, and compares the bytes. */
export function compareNetworks({ folder, genotype, result }: ResultFolder): Comparison[] {
  return [...derivedFiles(folder, result.target).reverse(), "network.onnx"].flatMap((file): Comparison[] => {
    const name = basename(file, ".onnx");
    const [weightsFile, onnxFile] = [join(folder, `${name}.weights`), join(folder, `${name}.onnx`)];
    if (!existsSync(weightsFile) || !existsSync(onnxFile)) return [];
    const { header, arrays } = decodeBundle<object | { head: Head }>(readFileSync(weightsFile), `${name}.weights`);
    const { weights = new Float32Array(), stats = new Float32Array() } = arrays;
    const stored = readFileSync(onnxFile);
    const metadata = onnxMetadata(stored);
    const classes = JSON.parse(metadata.classes ?? "[]") as string[];
    // A network before its training names its own genotype: a repair may have changed it since.
    const network =
      "head" in header
        ? buildDiscrete(genotype, header.head)
        : buildDiscrete(Genotype.fromJSON(header), { kind: "search" });
    const exported = networkOnnx(network, { weights, stats }, classes, metadata.license);
    const same = Buffer.compare(exported, stored) === 0;
    const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    return [
      {
        ...{ name: `${name}.onnx`, from: `genotype and ${name}.weights, exported again: each byte` },
        differences: same ? [] : [`SHA-256 is ${digest(stored)}, derived ${digest(exported)}`],
      },
    ];
  });
}
