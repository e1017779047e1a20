import { Option, type Command } from "commander";
import { evaluateOn } from "../../shared/evaluation/evaluateOn";
import { LatheError } from "../../shared/process/errors";
import { NetworkForm } from "../../shared/proto/lathe/v1/discretization";
import { DatasetKind, DatasetSpec, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { resolve } from "../../shared/spec/resolve";
import { complain, print, printJson } from "../exit";
import { onInterrupt } from "../interrupt";
import { formFlags, modelOptions, readModel, type ModelFlags } from "../model/flags";
import { foundModel } from "../model/resultFolder";
import { evaluateRemotely, formFields, type ShownEvaluation } from "../model/remote";
import { datasetNames } from "../spec/datasetNames";
import { datasetKind, readSpec, requested, underFlags, type SpecFlags } from "../spec/specFlags";
import { readStackFile } from "../stack/stackFile";
import { evaluationLines, evaluationJson } from "../view/evaluation";
import { progressLine } from "../view/progress";
import { credentialOptions, credentialsOf, type CredentialFlags } from "./connection";

interface EvaluateFlags extends ModelFlags, CredentialFlags, Pick<SpecFlags, "file" | "dataset"> {
  address?: string;
  search?: string;
  inherited?: boolean;
  form?: "logits" | "deploy";
  state: string;
  json?: boolean;
}

/** `lathe evaluate MODEL DATA`: needs no stack unless a service is to measure. */
export function evaluateCommand(program: Command): void {
  const command = modelOptions(program.command("evaluate [model] [data]"))
    .description(
      "measure an ONNX model of any origin, the network of a result folder, or that of a search, on the validation split of a data set: mIoU, IoU per class, confusion",
    )
    .option("-f, --file <spec.yaml>", "spec whose data set is used; [data] overrides its folder")
    .option("--dataset <kind>", `kind of the data set: ${datasetNames.join(", ")}; default: folder`)
    .option(
      "--address <host:port>",
      "have the discretization service there measure; the data set is one of its machine",
    )
    .option(
      "--search <id>",
      "measure the network of a search instead of a model, by default on its own data; the only argument is then [data]",
    )
    .option("--inherited", "with --search: the network with the weights of the search, not the retrained one")
    .addOption(new Option("--form <form>", "with --search: form of the network").choices(["logits", "deploy"]))
    .option("--state <folder>", "with --search and no --address: state folder of the stack of `lathe up`", ".lathe")
    .option("--json", "print JSON, with the confusion matrix");
  credentialOptions(command).action((model: string | undefined, data: string | undefined, flags: EvaluateFlags) =>
    evaluate(flags.search === undefined ? { model, data } : { data: model, model: data }, flags),
  );
}

interface Arguments {
  model: string | undefined;
  data: string | undefined;
}

async function evaluate({ model, data }: Arguments, flags: EvaluateFlags): Promise<void> {
  const { search, address } = flags;
  if (search !== undefined && model !== undefined)
    throw new LatheError("INVALID_ARGUMENT", `--search names the network, so "${model}" is an argument too many`);
  if (search === undefined && model === undefined)
    throw new LatheError("INVALID_ARGUMENT", "no model is given: name an ONNX file, or use --search id");
  if (search === undefined && (flags.inherited || flags.form !== undefined))
    throw new LatheError("INVALID_ARGUMENT", "--inherited and --form belong to --search");
  const interrupt = onInterrupt(complain);
  try {
    const watching = { signal: interrupt.signal, ...(!flags.json && { progress: progressLine("images") }) };
    const found =
      search === undefined && address === undefined
        ? await here(model!, data, flags, watching)
        : await there({ model, data }, flags, watching);
    for (const said of [found.note, found.dataChange]) if (said !== undefined) complain(`lathe: ${said}`);
    const name = model ?? search ?? "";
    if (flags.json) printJson(evaluationJson(name, found));
    else print(...evaluationLines(name, found));
  } finally {
    interrupt.dispose();
  }
}

interface Watching {
  signal: AbortSignal;
  progress?: (done: number, of: number) => void;
}

function here(
  given: string,
  data: string | undefined,
  flags: EvaluateFlags,
  watching: Watching,
): Promise<ShownEvaluation> {
  const { file, spec, recorded } = foundModel(given);
  const ownData = spec && flags.file === undefined && flags.dataset === undefined;
  const asked = ownData ? underFlags(spec, data === undefined ? {} : { data }) : dataSpec(data, flags);
  const { resolved, space } = requested(asked);
  const { told, session } = formFlags(flags);
  const { dataset, seed } = resolved;
  return evaluateOn(
    { model: readModel(file), told, session, dataset, seed, classes: space.classes, recorded },
    watching,
  );
}

/** By a service. The data set is not looked at here. */
async function there({ model, data }: Arguments, flags: EvaluateFlags, watching: Watching): Promise<ShownEvaluation> {
  const { search: searchId = "", inherited = false, form, file, dataset } = flags;
  const ofSearch = model === undefined && data === undefined && file === undefined && dataset === undefined;
  const spec = ofSearch ? undefined : dataSpec(data, flags);
  const forms = { logits: NetworkForm.NETWORK_FORM_LOGITS, deploy: NetworkForm.NETWORK_FORM_DEPLOY };
  const request = {
    ...formFields(flags),
    ...{ searchId, inherited, form: form === undefined ? NetworkForm.NETWORK_FORM_UNSPECIFIED : forms[form] },
    ...(model !== undefined && { model: Buffer.from(readModel(foundModel(model).file)) }),
    ...(spec && { dataset: completed(spec) }),
    ...(spec?.seed !== undefined && { seed: spec.seed }),
  };
  const address = flags.address ?? readStackFile(flags.state, "--address host:port").services.discretization.grpc;
  return evaluateRemotely(address, credentialsOf(flags), request, watching);
}

/** The data set of a spec. Only generated scenes have numbers that a preset decides. */
function completed(spec: SearchSpec): DatasetSpec {
  const kind = datasetKind(spec);
  if (kind === DatasetKind.DATASET_KIND_STREETS) return resolve(spec).spec.dataset;
  return DatasetSpec.fromPartial({ ...spec.dataset, kind });
}

/** The spec whose section `dataset` says which data are read. The preset only completes it. */
function dataSpec(data: string | undefined, { file, dataset }: EvaluateFlags): SearchSpec {
  if (data === undefined && file === undefined && dataset !== "streets")
    throw new LatheError(
      "INVALID_ARGUMENT",
      "no data set is given: name its folder after the model, or use -f spec.yaml",
    );
  const kind = dataset ?? (file === undefined ? "folder" : undefined);
  const spec = readSpec({
    ...(file !== undefined && { file }),
    ...(kind !== undefined && { dataset: kind }),
    ...(data !== undefined && { data }),
  });
  return { ...spec, preset: spec.preset || "small" };
}
