import "../../shared/process/sourceMaps";
import { setDataAccess } from "../../shared/data/access";
import { createEngine } from "../../shared/engine/engine";
import { evaluateOn } from "../../shared/evaluation/evaluateOn";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { deployOnnx, type NetworkOrigin } from "../../shared/network/deploy";
import { networkOnnx } from "../../shared/network/export";
import { LatheError } from "../../shared/process/errors";
import { portOf, type Call, type Notices, type Reply } from "../../shared/process/port";
import { serveWorker } from "../../shared/process/worker";
import { deriveNetwork } from "./derive";
import type { ExportJob, Job, JobCalls, Outcome } from "./jobs";
import { repairNetwork } from "./repair/repair";
import { takeOut } from "./takeOut";

const NOTICES: Notices<JobCalls> = { progress: true };

/** The child process: evaluations and tracing block its thread, not the service's. */
serveWorker<Job, Call<JobCalls>, Outcome, Reply<JobCalls>>(async ({ kind, job }, context) => {
  if (kind === "export") return { kind, onnx: exportedOnnx(job) };
  const port = portOf<JobCalls>(context, NOTICES);
  setDataAccess(job.dataAccess);
  if (kind === "keep") return { kind, taken: await takeOut(job, port) };
  if (kind === "evaluate") {
    const progress = (done: number, of: number) => port.progress(done, of);
    return { kind, evaluation: await evaluateOn(job, { signal: context.signal, progress }) };
  }
  const engine = await createEngine(job.engine);
  if (kind === "repair") return { kind, event: await repairNetwork(engine, job, port) };
  return { kind, event: await deriveNetwork(engine, job, port) };
});

/** ONNX of stored weights in a network of another input size, or in the deploy form. */
function exportedOnnx({ genotype, head, onnx, weights: bundle, object, deploy }: ExportJob): Uint8Array {
  const { weights, stats } = decodeBundle(bundle, object).arrays;
  if (!weights || !stats)
    throw new LatheError("INTERNAL", `${object} has no weights or no statistics`, { reason: "BUNDLE_CORRUPT" });
  const metadata = onnxMetadata(onnx);
  const [network, { license }] = [buildDiscrete(genotype, head), metadata];
  const classes = JSON.parse(metadata.classes ?? "[]") as string[];
  if (deploy) {
    const { stored, ...origin } = deploy;
    const colors = stored && onnxMetadata(stored).colors;
    return deployOnnx(network, { weights, stats }, { ...origin, classes, license, colors: parsedColors(colors) });
  }
  return networkOnnx(network, { weights, stats }, classes, license);
}

const parsedColors = (text: string | undefined): NetworkOrigin["colors"] =>
  text === undefined ? undefined : (JSON.parse(text) as NetworkOrigin["colors"]);
