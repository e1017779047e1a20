import { NetworkProfiled, NetworkTrained } from "../../shared/proto/lathe/v1/events";
import { SearchState } from "../../shared/proto/lathe/v1/search";
import { begin, inState, made, publish } from "./service.fixture";

interface Figures {
  miou: number;
  ms: number;
  device?: string;
  /** Time on the quiet device; by default as measured. */
  calibratedMs?: number;
  key?: string;
  unstableBecause?: string[];
}

/** A search that has succeeded with a network of these figures. */
export async function succeeded(
  { miou, ms, device = "a processor", calibratedMs = ms, key = "ab".repeat(32), unstableBecause = [] }: Figures,
  labels: Record<string, string>,
) {
  const { id } = await begin({ labels });
  const p50Seconds = ms / 1000;
  await publish(
    id,
    { type: "network.trained", data: NetworkTrained.fromPartial({ ...made.trained.data, validationMiou: miou }) },
    {
      type: "network.profiled",
      data: NetworkProfiled.fromPartial({
        latency: {
          ...{ device, deviceClass: "cpu", runtime: "onnxruntime-node", precision: "fp32", batchSize: 1, runs: 100 },
          ...{ inputHeight: 64, inputWidth: 128, threads: 1, p50Seconds, framesPerSecond: 1 / p50Seconds },
          ...{ calibratedP50Seconds: calibratedMs / 1000, calibrationReferenceSeconds: 0.001, unstableBecause },
          measuredOn: { key },
        },
      }),
    },
  );
  await inState(id, SearchState.SEARCH_STATE_SUCCEEDED);
  return id;
}
