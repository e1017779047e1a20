import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchResult, type DatasetFigures } from "../../shared/proto/lathe/v1/result";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { recordedData } from "../search/events";
import { readHistory } from "../search/history";
import { derivedFiles } from "./derivedFiles";
import { userFolder } from "../userFolder";

/** A model, and what the result folder that it lies in says about its data. */
interface FoundModel {
  file: string;
  /** The spec of the search, where the result folder itself was given. */
  spec?: SearchSpec | undefined;
  /** The data of the search; absent for a model of another origin. */
  recorded?: DatasetFigures | undefined;
}

/** The model of an argument: an ONNX file, or the network of a result folder. */
export function foundModel(given: string): FoundModel {
  const path = resolve(userFolder(), given);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    return { file: given, recorded: readResult(dirname(path), basename(path))?.recorded };
  const found = readResult(path);
  const file = ["network.onnx", ...derivedFiles(path, found?.target)]
    .map((name) => join(path, name))
    .find((one) => existsSync(one));
  if (found && file !== undefined) return { file, spec: found.spec, recorded: found.recorded };
  const missing = found ? "no network.onnx and no derived.onnx" : "no result.json";
  throw new LatheError(
    "INVALID_ARGUMENT",
    `${path} has ${missing}: name an ONNX file, or the result folder of a search`,
    { reason: "NO_RESULT" },
  );
}

/** What a result.json says; undefined where there is none, or none that lists the file. Another program may use the name. */
function readResult(
  folder: string,
  file?: string,
): (Pick<FoundModel, "spec" | "recorded"> & Pick<SearchResult, "target">) | undefined {
  let json: { files?: unknown };
  try {
    json = JSON.parse(readFileSync(join(folder, "result.json"), "utf8")) as typeof json;
    const isOurs = Array.isArray(json.files) && (file === undefined || json.files.includes(file));
    if (!isOurs) return undefined;
    const { spec } = json as { spec?: unknown };
    const { dataset, target } = SearchResult.fromJSON(json);
    const history = existsSync(join(folder, "history.jsonl")) ? readHistory(folder) : [];
    return {
      spec: spec === undefined ? undefined : SearchSpec.fromJSON(spec),
      recorded: recordedData(history) ?? dataset,
      target,
    };
  } catch {
    return undefined;
  }
}
