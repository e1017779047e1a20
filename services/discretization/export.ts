import type { Objects } from "../../shared/events/objects";
import type { StoredEvent } from "../../shared/events/catalog";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete, type Head } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import { LatheError } from "../../shared/process/errors";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { validateGenotype } from "../../shared/space/genotype";
import { givenGenotype } from "../../shared/spec/algorithm";
import { resolve } from "../../shared/spec/resolve";

interface ExportRequest {
  searchId: string;
  /** 0: as searched. */
  inputHeight: number;
  inputWidth: number;
  inherited: boolean;
}

/** ONNX of a search's network: the stored file, or its weights in a network of another input size. */
export async function exportNetwork(
  history: readonly StoredEvent[],
  artifacts: Objects,
  { searchId, inputHeight, inputWidth, inherited }: ExportRequest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const found = networkOf(history, searchId, inherited);
  const { genotype } = found;
  const size = { height: inputHeight || genotype.inputHeight, width: inputWidth || genotype.inputWidth };
  const resized = { ...genotype, inputHeight: size.height, inputWidth: size.width };
  validateGenotype(resized);
  const stored = await artifacts.get(found.onnx.object, signal);
  if (size.height === genotype.inputHeight && size.width === genotype.inputWidth) return stored;
  const { arrays } = decodeBundle(await artifacts.get(found.weights.object, signal), found.weights.object);
  const { weights, stats } = arrays;
  if (!weights || !stats)
    throw new LatheError("INTERNAL", `${found.weights.object} has no weights or no statistics`, {
      reason: "BUNDLE_CORRUPT",
    });
  const classNames = JSON.parse(onnxMetadata(stored).classes ?? "[]") as string[];
  return networkOnnx(buildDiscrete(resized, found.head), { weights, stats }, classNames);
}

interface Found {
  genotype: Genotype;
  head: Head;
  onnx: ArtifactRef;
  weights: ArtifactRef;
}

function networkOf(history: readonly StoredEvent[], searchId: string, inherited: boolean): Found {
  const of = <T extends StoredEvent["event"]["type"]>(type: T) => {
    const event = history.find((stored) => stored.event.type === type)?.event;
    return event as Extract<StoredEvent["event"], { type: T }> | undefined;
  };
  const created = of("search.created")?.data;
  if (!created?.spec) throw new LatheError("NOT_FOUND", `search "${searchId}" does not exist`);
  const derived = of("architecture.derived")?.data;
  const trained = of("network.trained")?.data;
  const { retraining } = resolve(created.spec).spec;
  const source = inherited ? derived : trained;
  const genotype = derived?.genotype ?? givenGenotype(created.spec);
  if (!genotype || !source?.onnx || !source.weights)
    throw new LatheError(
      "FAILED_PRECONDITION",
      `search ${searchId} has no ${inherited ? "derived" : "retrained"} network yet`,
      { reason: "NO_NETWORK" },
    );
  const { pyramidChannels, dropout } = retraining;
  return {
    genotype,
    head: inherited ? { kind: "search" } : { kind: "aggregation", pyramidChannels, dropout },
    onnx: source.onnx,
    weights: source.weights,
  };
}
