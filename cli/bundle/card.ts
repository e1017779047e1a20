import type { DatasetFigures, SplitFigures } from "../../shared/proto/lathe/v1/result";
import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import type { Search } from "../../shared/proto/lathe/v1/search";
import { print } from "../../shared/space/genotype";
import { enumWord } from "../../shared/spec/bounds";
import { measurementsOf } from "../search/resultTable";
import { percent, quantity } from "../view/format";
import { takesImages, type ModelForm } from "./model";

/** Text of a user as Markdown that shows it as it is, in one line. */
const plain = (text: string): string => text.replace(/\s+/g, " ").replace(/[\\`*_{}[\]<>#|~&]/g, "\\$&");

const markdown = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  [heads, heads.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

function splitLine({ train, validation, sha256 }: DatasetFigures): string {
  const counted = (what: string, split: SplitFigures | undefined): string =>
    `${split?.examples ?? 0} ${what} examples with ${quantity(split?.pixels.reduce((sum, count) => sum + count, 0) ?? 0)} labelled pixels`;
  return `${counted("training", train)}, ${counted("validation", validation)}, counted at the size of the network. Fingerprint: \`${sha256}\`; \`lathe dataset check\` prints it for a folder.`;
}

const licence = (given: string): string =>
  given === ""
    ? "The licence of the data is not known to Lathe; it may bind the use of the network."
    : `Licence of the data, as its user gave it: ${plain(given)}. It may bind the use of the network.`;

/** MODEL_CARD.md: what the network is, how good and how fast it was measured to be, and what is not known about it. */
export function modelCard({ id, spec, result }: Search, form: ModelForm, files: readonly string[]): string {
  const { genotype, classScores = [], provenance } = result ?? {};
  const { dataset, labels } = spec ?? {};
  const { dataset: data, dataChange = "" } = result ?? {};
  const kind = enumWord(DatasetKind, "DATASET_KIND_", dataset?.kind ?? 0);
  const measured = result ? measurementsOf(result).filter(({ label }) => label !== "") : [];
  const use = takesImages(form)
    ? "It takes RGB images as bytes, of any size, and returns the index of a class for each pixel."
    : "It takes one RGB image, resized and scaled as preprocess.json says, and returns logits.";
  const scores = classScores.map(({ name, iou, occurs }) => [plain(name), occurs ? percent(iou) : "does not occur"]);
  const sections = [
    `# ${plain(labels?.name ?? id)}`,
    `A network for semantic segmentation that Lathe found by search \`${id}\`. ${use} labels.txt has the classes in the order of their indices.`,
    "## Use",
    ["    pip install onnxruntime numpy pillow", "    python3 predict.py IMAGE class-map.png"].join("\n"),
    "`predict.mjs` does the same in Node. `triton/` is a model repository for Triton Inference Server. `SHA256SUMS` has the digests of all files: `sha256sum -c SHA256SUMS`.",
    "## Measured",
    markdown(
      ["figure", "value", "how"],
      measured.map(({ label, shown, measuredBy }) => [label, plain(shown), plain(measuredBy)]),
    ),
    ...(scores.length > 0 ? ["## Classes", markdown(["class", "IoU on the validation split"], scores)] : []),
    "## Data",
    kind === "streets"
      ? "Generated street scenes: the figures say nothing about photographs."
      : `Trained on the \`${kind}\` data set of the search, with its validation split for the figures above. ${licence(dataset?.license ?? "")}`,
    ...(data ? [splitLine(data)] : []),
    ...(dataChange === "" ? [] : [`The data changed during the search: ${plain(dataChange)}.`]),
    "## Limits",
    "The validation split chose the weights, so that the network is likely to be worse on other images. Nothing was measured on images of another camera, place or weather, and there is no measure of certainty.",
    ...(genotype
      ? [
          "## Network",
          print(genotype)
            .split("\n")
            .map((line) => `    ${line}`)
            .join("\n"),
        ]
      : []),
    "## Where it comes from",
    markdown(
      ["", ""],
      [
        ["search", id],
        ["seed", String(provenance?.seed ?? spec?.seed ?? "")],
        ["SHA-256 of the spec", provenance?.specSha256 ?? ""],
        ["fingerprint of the data", data?.sha256 ?? ""],
        ["Lathe", provenance?.latheVersion ?? ""],
        ["engine", plain(provenance?.engine ?? "")],
        ["finished", provenance?.finishedAt?.toISOString() ?? ""],
      ].filter(([, value]) => value !== ""),
    ),
    `Files: ${files.map((file) => `\`${file}\``).join(", ")}. \`lathe reproduce\` derives genotype and figures again from result.json and history.jsonl.`,
  ];
  return `${sections.join("\n\n")}\n`;
}
