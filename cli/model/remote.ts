import type { ModelEvaluation } from "../../shared/evaluation/evaluateOn";
import type { ModelScores } from "../../shared/evaluation/evaluateModel";
import { LatheError } from "../../shared/process/errors";
import {
  AxisLayout,
  DiscretizationServiceClient,
  EvaluateNetworkRequest,
  type NetworkEvaluation,
} from "../../shared/proto/lathe/v1/discretization";
import { BOUNDS } from "../../shared/rpc/bounds";
import { connect, type ConnectOptions } from "../../shared/rpc/client";
import type { ModelFlags } from "./flags";

/** An evaluation as a command shows it. */
export interface ShownEvaluation extends Omit<ModelEvaluation, "scores"> {
  readonly scores: Omit<ModelScores, "commonest" | "counts" | "miouClasses">;
}

interface Watching {
  signal: AbortSignal;
  progress?: ((done: number, of: number) => void) | undefined;
}

/** What the flags say about a model, as the fields of a request. */
export function formFields({ input, layout, scale, mean, std, output }: ModelFlags) {
  const [inputHeight, inputWidth] = input ?? [0, 0];
  const axes = { nchw: AxisLayout.AXIS_LAYOUT_NCHW, nhwc: AxisLayout.AXIS_LAYOUT_NHWC };
  return {
    ...{ inputHeight, inputWidth, mean: mean ?? [], std: std ?? [], output: output ?? "" },
    layout: layout === undefined ? AxisLayout.AXIS_LAYOUT_UNSPECIFIED : axes[layout],
    ...(scale !== undefined && { scale }),
  };
}

/** Has a discretization service measure a model, and returns what `lathe evaluate` shows. */
export async function evaluateRemotely(
  address: string,
  options: ConnectOptions,
  request: Parameters<typeof EvaluateNetworkRequest.fromPartial>[0],
  { signal, progress }: Watching,
): Promise<ShownEvaluation> {
  const most = BOUNDS.EvaluateNetworkRequest?.model?.bytes ?? 0;
  const bytes = request.model?.length ?? 0;
  if (bytes > most)
    throw new LatheError("INVALID_ARGUMENT", `the model has ${bytes} bytes, a service takes at most ${most}`);
  const connection = connect(DiscretizationServiceClient, address, options);
  try {
    for await (const { message } of connection.api.evaluateNetwork(EvaluateNetworkRequest.fromPartial(request), {
      signal,
    })) {
      if (message?.$case === "progressed") progress?.(message.value.images, message.value.imagesOf);
      if (message?.$case === "evaluation") return shown(message.value);
    }
  } finally {
    connection.close();
  }
  throw new LatheError("UNAVAILABLE", `the service at ${address} ended the call without an evaluation`);
}

function shown(evaluation: NetworkEvaluation): ShownEvaluation {
  const { modelForm, classScores, comparedHeight, comparedWidth, predictedHeight, predictedWidth } = evaluation;
  if (!modelForm) throw new LatheError("INTERNAL", "the evaluation does not say how the model was understood");
  const { input, layout, inputHeight, inputWidth, scale, mean, std, output } = modelForm;
  const size = { height: comparedHeight, width: comparedWidth };
  return {
    form: {
      input,
      type: modelForm.type === "uint8" ? "uint8" : "float32",
      layout: layout === AxisLayout.AXIS_LAYOUT_NHWC ? "nhwc" : "nchw",
      size: inputHeight === 0 ? undefined : { height: inputHeight, width: inputWidth },
      trained: size,
      ...{ scale, mean, std, output },
    },
    size,
    names: classScores.map(({ name }) => name),
    scores: {
      miou: evaluation.miou,
      accuracy: evaluation.pixelAccuracy,
      images: evaluation.images,
      classes: classScores.map(({ iou, occurs }) => ({ iou, occurs })),
      predicted: { height: predictedHeight, width: predictedWidth },
      confusion: evaluation.confusion.map(({ pixels }) => pixels),
    },
    note: evaluation.note === "" ? undefined : evaluation.note,
    dataChange: evaluation.dataChange === "" ? undefined : evaluation.dataChange,
  };
}
