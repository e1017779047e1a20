import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Search } from "../../shared/proto/lathe/v1/search";
import { derivedFiles } from "../model/derivedFiles";
import { modelCard } from "./card";
import { modelForm } from "./model";
import { preprocessing } from "./preprocess";
import { NODE, PYTHON } from "./snippets";
import { tritonConfig } from "./triton";

const TRITON_NAME = "network";
export const SUMS_FILE = "SHA256SUMS";

/**
 * Writes what others need to use the network of a result folder: model card, labels, preprocessing, programs and a Triton repository.
 * Returns the names of the files; none where the folder has no network.
 */
export function writeBundle(search: Search, folder: string, files: readonly string[]): string[] {
  // The one to hand on comes first.
  const networks = ["deploy.onnx", "network.onnx", ...derivedFiles(folder, search.result?.target)];
  const network = networks.find((name) => existsSync(join(folder, name)));
  if (network === undefined) return [];
  const form = modelForm(network, readFileSync(join(folder, network)));
  const classes = classNames(search, form.metadata.classes);
  const config = `triton/${TRITON_NAME}/config.pbtxt`;
  const copy = `triton/${TRITON_NAME}/1/model.onnx`;
  const written: [name: string, text: string][] = [
    ["labels.txt", classes.map((name) => `${name}\n`).join("")],
    ["preprocess.json", `${JSON.stringify(preprocessing(form, classes), null, 2)}\n`],
    ["predict.py", PYTHON],
    ["predict.mjs", NODE],
    [config, tritonConfig(TRITON_NAME, form)],
  ];
  const all = [...written.map(([name]) => name), copy, "MODEL_CARD.md"];
  written.push(["MODEL_CARD.md", modelCard(search, form, [...files, ...all].sort())]);
  mkdirSync(join(folder, dirname(copy)), { recursive: true });
  for (const [name, text] of written) writeFileSync(join(folder, name), text);
  copyFileSync(join(folder, network), join(folder, copy));
  return all;
}

/** The names of the classes in the order of their indices, without line breaks. */
function classNames({ result }: Search, metadata: string | undefined): string[] {
  const scored = result?.classScores.map(({ name }) => name) ?? [];
  const names = scored.length > 0 ? scored : metadata === undefined ? [] : (JSON.parse(metadata) as string[]);
  return names.map((name) => name.replace(/\s+/g, " "));
}

/** Writes the digests of files of a folder in the form that `sha256sum -c` reads. */
export function writeSums(folder: string, files: readonly string[]): void {
  const lines = files.map((name) => `${sha256Of(join(folder, name))}  ${name}\n`);
  writeFileSync(join(folder, SUMS_FILE), lines.join(""));
}

export const sha256Of = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
