import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete, type DiscreteNetwork } from "../../shared/network/discrete";
import type { Head } from "../../shared/space/head";
import type { NetworkParameters } from "../../shared/network/networkGraph";
import { LatheError } from "../../shared/process/errors";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { userFolder } from "../userFolder";

/** What a network gives: class maps of camera images, or logits. */
export type Form = "deploy" | "logits";

/** Files of a result folder by form. */
export const FILES: Readonly<Record<Form, string>> = { deploy: "deploy.onnx", logits: "network.onnx" };

/** The trained network of a result folder. */
export interface TrainedNetwork {
  readonly folder: string;
  readonly network: DiscreteNetwork;
  readonly parameters: NetworkParameters;
  /** The file of each form, as it is in the folder. */
  readonly files: Readonly<Record<Form, Uint8Array>>;
  readonly metadata: Readonly<Record<Form, Readonly<Record<string, string>>>>;
  /** The spec of the search, whose section `dataset` says which data the network was trained on. */
  readonly spec: SearchSpec;
}

/** Reads the trained network of a result folder; NOT_FOUND (NO_NETWORK) names the file that is missing. */
export function readTrained(given: string): TrainedNetwork {
  const folder = resolve(userFolder(), given);
  const read = (name: string): Buffer => {
    const file = join(folder, name);
    if (existsSync(file)) return readFileSync(file);
    const message = `${folder} has no ${name}: it must be the result folder of a search with a retrained network`;
    throw new LatheError("NOT_FOUND", message, { reason: "NO_NETWORK" });
  };
  const bundle = read("network.weights");
  const genotype = Genotype.fromJSON(JSON.parse(read("genotype.json").toString()));
  const { spec } = JSON.parse(read("result.json").toString()) as { spec?: unknown };
  const { header, arrays } = decodeBundle<{ head: Head }>(bundle, "network.weights");
  const { weights = new Float32Array(), stats = new Float32Array() } = arrays;
  const files = { deploy: read(FILES.deploy), logits: read(FILES.logits) };
  return {
    folder,
    network: buildDiscrete(genotype, header.head),
    parameters: { weights, stats },
    files,
    metadata: { deploy: onnxMetadata(files.deploy), logits: onnxMetadata(files.logits) },
    spec: SearchSpec.fromJSON(spec),
  };
}
