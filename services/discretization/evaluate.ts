import type { DataAccess } from "../../shared/data/access";
import type { Bus } from "../../shared/events/bus";
import { historyOnce } from "../../shared/events/history";
import { recordedData } from "../../shared/events/recordedData";
import type { Objects } from "../../shared/events/objects";
import { isToken } from "../../shared/events/subjects";
import type { FormFlags } from "../../shared/evaluation/form";
import type { ModelEvaluation, ModelOnData } from "../../shared/evaluation/evaluateOn";
import type { SessionOptions } from "../../shared/engine/session";
import { invalidField, LatheError } from "../../shared/process/errors";
import { machineBytes } from "../../shared/process/memory";
import { answerBy } from "../../shared/process/port";
import { admit, type Turns } from "../../shared/process/turns";
import {
  AxisLayout,
  NetworkForm,
  type EvaluateNetworkRequest,
  type EvaluateNetworkResponse,
  type EvaluationProgressed,
  type NetworkEvaluation,
} from "../../shared/proto/lathe/v1/discretization";
import type { DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { resolve, resolveDatasetAlone } from "../../shared/spec/resolve";
import { exportNetwork } from "./export";
import { discretizationProcess, type EvaluateJob, type JobCalls } from "./jobs";

/** Evaluations that may run or wait; each holds its model. They run one at a time, each in its own process with its own data set. */
const MAX_EVALUATIONS = 4;

/** Share of the memory of the machine, or of the container, that the process of an evaluation may hold: a model decides how much it takes. */
const SHARE = 0.5;

interface Evaluating {
  bus: Bus;
  artifacts: Objects;
  /** Turns of exports and of evaluations. */
  exports: Turns;
  evaluations: Turns;
  session: SessionOptions;
  /** The only folders whose data sets may be opened; undefined: any. */
  dataAccess?: DataAccess | undefined;
}

/** Answers EvaluateNetwork: progress, then the evaluation. The process of the evaluation ends when `signal` aborts. */
export async function* evaluateNetwork(
  evaluating: Evaluating,
  request: EvaluateNetworkRequest,
  signal: AbortSignal,
): AsyncGenerator<EvaluateNetworkResponse> {
  const { evaluations, session, dataAccess } = evaluating;
  const told = formOf(request);
  requireOne(request);
  // Faults of the request come before the queue is looked at.
  const dataset = request.dataset && resolveDatasetAlone(request.dataset);
  admit(evaluations.pending, MAX_EVALUATIONS, "evaluations", "EVALUATIONS_BUSY");
  const progress = new Newest<EvaluationProgressed>();
  const running = evaluations
    .take(async () => {
      const job: EvaluateJob = {
        ...(await modelAndData(evaluating, request, dataset, signal)),
        told,
        session,
        dataAccess,
      };
      const onMessage = answerBy<JobCalls>({
        progress: (images, imagesOf) => progress.set({ images, imagesOf }),
        store: () => Promise.reject(new LatheError("INTERNAL", "an evaluation stores nothing")),
      });
      const outcome = await discretizationProcess().run(
        { kind: "evaluate", job },
        { signal, onMessage, memoryBytes: machineBytes() * SHARE },
      );
      if (outcome.kind !== "evaluate") throw new LatheError("INTERNAL", `an evaluation came back as ${outcome.kind}`);
      return outcome.evaluation;
    }, signal)
    .catch((error: unknown) => {
      throw naming(LatheError.from(error), request.searchId === "" ? "model" : "search_id");
    })
    .finally(() => progress.end());
  // Awaited below; a client that has gone leaves it behind.
  running.catch(() => {});
  for await (const value of progress) yield { message: { $case: "progressed", value } };
  yield { message: { $case: "evaluation", value: answerOf(await running) } };
}

/** The newest of the values that are set until the end: a slow reader misses some. */
class Newest<T> {
  private value: T | undefined;
  private ended = false;
  private wake: () => void = () => {};

  set(value: T): void {
    this.value = value;
    this.wake();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const { value } = this;
      this.value = undefined;
      if (value !== undefined) yield value;
      else if (this.ended) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** Refuses a request that names no network or two, or no data. */
function requireOne({ model, searchId, dataset, inherited, form }: EvaluateNetworkRequest): void {
  if (model.length > 0 && searchId !== "") throw invalidField("model", "is set, and so is search_id; leave one out");
  if (model.length > 0) {
    if (!dataset) throw invalidField("dataset", "is not set, must say on which data the model is measured");
    if (inherited) throw invalidField("inherited", "is set, but belongs to search_id; leave it out");
    if (form !== NetworkForm.NETWORK_FORM_UNSPECIFIED)
      throw invalidField("form", "is set, but belongs to search_id; leave it out");
    return;
  }
  if (searchId === "") throw invalidField("model", "is not set, must be an ONNX file unless search_id names a search");
  if (!isToken(searchId)) throw invalidField("search_id", `is "${searchId}", must be 1 to 64 of a-z, 0-9 and -`);
}

/** The model, from the request or from its search, and the data set on which it is measured: the given one, or that of the search. */
async function modelAndData(
  { bus, artifacts, exports }: Evaluating,
  { model, searchId, inherited, form, seed }: EvaluateNetworkRequest,
  given: DatasetSpec | undefined,
  signal: AbortSignal,
): Promise<Pick<ModelOnData, "model" | "dataset" | "seed" | "classes" | "recorded">> {
  if (given && model.length > 0) return { model, dataset: given, seed: seed ?? 1 };
  const history = await historyOnce(bus, searchId, 0, signal);
  const request = { searchId, inputHeight: 0, inputWidth: 0, inherited, form };
  const bytes = await exportNetwork(history, artifacts, exports, request, signal);
  const created = history.find(({ event }) => event.type === "search.created")?.event;
  if (created?.type !== "search.created" || !created.data.spec)
    throw new LatheError("NOT_FOUND", `search "${searchId}" does not exist`);
  const { spec, space } = resolve(created.data.spec);
  const own = { dataset: given ?? spec.dataset, seed: seed ?? spec.seed };
  return { model: bytes, ...own, recorded: recordedData(history), ...(!given && { classes: space.classes }) };
}

/**
 * An error of an evaluation, with the field of the request that it is about. A process that died is not UNAVAILABLE, by which a client would
 * call again: most often its model is why.
 */
function naming(error: LatheError, network: "model" | "search_id"): LatheError {
  const { code, message, reason, violations, metadata, cause } = error;
  if (reason === "WORKER_DIED") return new LatheError("FAILED_PRECONDITION", message, { reason, metadata, cause });
  if (code !== "INVALID_ARGUMENT" || violations.length > 0) return error;
  const field = reason === "DATASET_INVALID" ? "dataset" : network;
  return new LatheError(code, message, { reason, metadata, cause, violations: [{ field, description: message }] });
}

const LAYOUTS: Partial<Record<AxisLayout, "nchw" | "nhwc">> = {
  [AxisLayout.AXIS_LAYOUT_NCHW]: "nchw",
  [AxisLayout.AXIS_LAYOUT_NHWC]: "nhwc",
};

/** The part of a request that describes its model. */
function formOf({ inputHeight, inputWidth, layout, scale, mean, std, output }: EvaluateNetworkRequest): FormFlags {
  if ((inputHeight === 0) !== (inputWidth === 0))
    throw invalidField(
      inputHeight === 0 ? "input_height" : "input_width",
      "is not set, must be set together with the other side",
    );
  for (const [field, values] of [
    ["mean", mean],
    ["std", std],
  ] as const)
    if (values.length !== 0 && values.length !== 3)
      throw invalidField(field, `has ${values.length} entries, must have 3, one for each channel, or none`);
  return {
    words: "fields",
    input: inputHeight === 0 ? undefined : { height: inputHeight, width: inputWidth },
    layout: LAYOUTS[layout],
    scale,
    mean: mean.length > 0 ? mean : undefined,
    std: std.length > 0 ? std : undefined,
    output: output === "" ? undefined : output,
  };
}

function answerOf({ form, size, names, scores, note, dataChange }: ModelEvaluation): NetworkEvaluation {
  const { input, type, layout, output, scale, mean, std } = form;
  return {
    miou: scores.miou,
    miouClasses: scores.miouClasses,
    pixelAccuracy: scores.accuracy,
    images: scores.images,
    classScores: scores.classes.map((score, at) => ({ name: names[at] ?? String(at), ...score })),
    confusion: scores.confusion.map((pixels) => ({ pixels })),
    comparedHeight: size.height,
    comparedWidth: size.width,
    predictedHeight: scores.predicted.height,
    predictedWidth: scores.predicted.width,
    modelForm: {
      ...{ input, type, output, scale, mean: [...mean], std: [...std] },
      layout: layout === "nchw" ? AxisLayout.AXIS_LAYOUT_NCHW : AxisLayout.AXIS_LAYOUT_NHWC,
      inputHeight: form.size?.height ?? 0,
      inputWidth: form.size?.width ?? 0,
    },
    note: note ?? "",
    dataChange: dataChange ?? "",
  };
}
