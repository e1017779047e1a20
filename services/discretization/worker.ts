import "../../shared/process/sourceMaps";
import { confine } from "../../shared/data/confinement";
import { createEngine } from "../../shared/engine/engine";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { networkOnnx, type Store } from "../../shared/network/export";
import { LatheError } from "../../shared/process/errors";
import { portOf, type Call, type Reply } from "../../shared/process/port";
import { serveWorker } from "../../shared/process/worker";
import { deriveNetwork } from "./derive";
import type { ExportJob, Job, Outcome } from "./jobs";
import { takeOut } from "./takeOut";

/** The child process: evaluations and tracing block its thread, not the service's. */
serveWorker<Job, Call<Store>, Outcome, Reply<Store>>(async ({ kind, job }, context) => {
  if (kind === "export") return { kind, onnx: resizedOnnx(job) };
  confine(job.dataFolders);
  if (kind === "keep") return { kind, taken: await takeOut(job, portOf<Store>(context, {})) };
  const engine = await createEngine(job.engine);
  return { kind, event: await deriveNetwork(engine, job, portOf<Store>(context, {})) };
});

/** ONNX of stored weights in a network of another input size. */
function resizedOnnx({ genotype, head, onnx, weights: bundle, object }: ExportJob): Uint8Array {
  const { weights, stats } = decodeBundle(bundle, object).arrays;
  if (!weights || !stats)
    throw new LatheError("INTERNAL", `${object} has no weights or no statistics`, { reason: "BUNDLE_CORRUPT" });
  const classNames = JSON.parse(onnxMetadata(onnx).classes ?? "[]") as string[];
  return networkOnnx(buildDiscrete(genotype, head), { weights, stats }, classNames);
}
