import { derivedNetwork } from "../../shared/events/derivedNetwork";
import type { Objects } from "../../shared/events/objects";
import type { StoredEvent } from "../../shared/events/catalog";
import { LatheError } from "../../shared/process/errors";
import { admit, type Turns } from "../../shared/process/turns";
import { NetworkForm } from "../../shared/proto/lathe/v1/discretization";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { validateGenotype } from "../../shared/space/genotype";
import { searchedHead, type Head } from "../../shared/space/head";
import { givenGenotype } from "../../shared/spec/algorithm";
import { resolve } from "../../shared/spec/resolve";
import { discretizationProcess, retrainingHead, type ExportJob } from "./jobs";

/** Exports that compute, and may run or wait: at another input size, or in a form that is not stored. */
const MAX_EXPORTS = 32;

interface ExportRequest {
  searchId: string;
  /** 0: the size of the search. */
  inputHeight: number;
  inputWidth: number;
  inherited: boolean;
  form: NetworkForm;
}

/** Returns the ONNX of a search's network: the stored file, or its weights in a network of another input size or form. */
export async function exportNetwork(
  history: readonly StoredEvent[],
  artifacts: Objects,
  turns: Turns,
  { searchId, inputHeight, inputWidth, inherited, form }: ExportRequest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const found = networkOf(history, searchId, inherited);
  const { head, onnx, weights, deploy, validationMiou } = found;
  const genotype = {
    ...found.genotype,
    inputHeight: inputHeight || found.genotype.inputHeight,
    inputWidth: inputWidth || found.genotype.inputWidth,
  };
  validateGenotype(genotype);
  const asStored =
    genotype.inputHeight === found.genotype.inputHeight && genotype.inputWidth === found.genotype.inputWidth;
  const stored = form === NetworkForm.NETWORK_FORM_DEPLOY ? deploy : onnx;
  if (asStored && stored) return artifacts.get(stored, signal);
  admit(turns.pending, MAX_EXPORTS, "exports", "EXPORTS_BUSY");
  return turns.take(async () => {
    const files = { onnx: await artifacts.get(onnx, signal), weights: await artifacts.get(weights, signal) };
    const job: ExportJob = { genotype, head, ...files, object: weights.object };
    if (form === NetworkForm.NETWORK_FORM_DEPLOY) {
      const stored = deploy && (await artifacts.get(deploy, signal));
      job.deploy = { search: searchId, ...(stored && { stored }), ...(asStored && { validationMiou }) };
    }
    const outcome = await discretizationProcess().run({ kind: "export", job }, { signal });
    if (outcome.kind !== "export") throw new LatheError("INTERNAL", `an export came back as ${outcome.kind}`);
    return outcome.onnx;
  }, signal);
}

interface Found {
  genotype: Genotype;
  head: Head;
  onnx: ArtifactRef;
  weights: ArtifactRef;
  /** The stored deploy form; a derived network has none. */
  deploy: ArtifactRef | undefined;
  validationMiou: number;
}

function networkOf(history: readonly StoredEvent[], searchId: string, inherited: boolean): Found {
  const of = <T extends StoredEvent["event"]["type"]>(type: T) => {
    const event = history.find((stored) => stored.event.type === type)?.event;
    return event as Extract<StoredEvent["event"], { type: T }> | undefined;
  };
  const created = of("search.created")?.data;
  if (!created?.spec) throw new LatheError("NOT_FOUND", `search "${searchId}" does not exist`);
  // A cancelled search may have a network that was kept before either was finished.
  const kept = of("network.kept")?.data;
  const derived = derivedNetwork(history) ?? (kept?.phase === "retrain" ? undefined : kept);
  const trained = of("network.trained")?.data ?? (kept?.phase === "retrain" ? kept : undefined);
  const source = inherited ? derived : trained;
  const genotype = derived?.genotype ?? givenGenotype(created.spec);
  if (!genotype || !source?.onnx || !source.weights)
    throw new LatheError(
      "FAILED_PRECONDITION",
      `search ${searchId} has no ${inherited ? "derived" : "retrained"} network yet`,
      { reason: "NO_NETWORK" },
    );
  return {
    genotype,
    head: inherited ? searchedHead(genotype) : retrainingHead(resolve(created.spec).spec),
    onnx: source.onnx,
    weights: source.weights,
    deploy: "deploy" in source ? source.deploy : undefined,
    validationMiou: "discreteMiou" in source ? source.discreteMiou : source.validationMiou,
  };
}
