/** Entry of the data set's thread, which serves the requests of loading.ts: decodes or draws examples, caches them, assembles batches. */
import { parentPort, workerData } from "node:worker_threads";
import { LatheError } from "../../process/errors";
import { assembleBatch } from "../assemble";
import { confine } from "../confinement";
import { coverageOf, type Counts, type Coverage } from "../coverage";
import { datasetFault, IGNORE } from "../dataset";
import { checkAll } from "../faults";
import { codingPrint, dataPrint, scenesPrint, splitPrint } from "../fingerprint";
import { frequentSizes } from "../sizes";
import { loader } from "./loaders";
import type { DatasetFigures, SplitFigures } from "../../proto/lathe/v1/result";
import type { Reply, Request, SplitName, ThreadSetup } from "./loading";

const setup = workerData as ThreadSetup;
const { size } = setup;
confine(setup.folders);
const examples = loader(setup, (line) => process.stderr.write(`${line}\n`));

const counted = new Map<SplitName, Promise<Counts>>();
let checked: Promise<void> | undefined;
let judged: Promise<Coverage> | undefined;
/** The error of the check, once it has failed. */
let broken: LatheError | undefined;

/** Counts the pixels of a split by label. */
function countPixels(split: SplitName, length: number): Promise<Counts> {
  const known = counted.get(split);
  if (known) return known;
  const counting = examples.counted(split, async () => {
    const pixels = new Array<number>(256).fill(0);
    let byValue = false;
    let unlisted = 0;
    await checkAll(length, async (index) => {
      const label = await examples.label(split, index);
      for (const value of label.data) pixels[value]! += 1;
      byValue ||= label.byValue;
      unlisted += label.unlisted;
    });
    return { pixels, byValue, unlisted };
  });
  counted.set(split, counting);
  return counting;
}

/** Judges the labels of both splits, where all are there. Scenes are drawn on request, and have labels of all classes. */
function judge(): Promise<Coverage> {
  const { source } = setup;
  if (source.kind === "scenes" || !source.whole) return Promise.resolve({ fault: undefined, warnings: [] });
  judged ??= (async () => {
    const train = await countPixels("train", source.train.length);
    const validation = await countPixels("validation", source.validation.length);
    return coverageOf(source.classes, source.coding, train, validation);
  })();
  return judged;
}

/** The warnings about the labels; throws where a training would be meaningless. */
async function warnings(): Promise<string[]> {
  const { fault, warnings: found } = await judge();
  if (fault !== undefined) throw datasetFault(`dataset ${setup.name}: ${fault}`);
  return [...found];
}

/** Checks all examples, labels first: a training waits for their counts. A fault of a file is reported with its example. */
async function check(): Promise<void> {
  const unread = await judge().then(
    () => false,
    () => true,
  );
  if (!unread) await warnings();
  await examples.check();
}

/** The figures of both splits, once every example has been read. */
async function figures(): Promise<DatasetFigures> {
  await checked;
  const { source } = setup;
  const train = await splitFigures("train");
  const validation = await splitFigures("validation");
  const coding = codingPrint(source.classes, source.kind === "files" ? source.coding : {});
  const print = dataPrint(coding, train.sha256, validation.sha256);
  return { sha256: print, codingSha256: coding, classes: [...source.classes], train, validation };
}

async function splitFigures(split: SplitName): Promise<SplitFigures> {
  const { source } = setup;
  const length = source.kind === "files" ? source[split].length : source[split];
  const { pixels } = await countPixels(split, length);
  const print =
    source.kind === "files"
      ? splitPrint(source.folder, source[split], (path) => examples.seen(path).sha256)
      : scenesPrint(source.seed, split, length);
  const stored = source.kind === "files" ? source[split].map(({ image }) => examples.seen(image).size ?? size) : [];
  return {
    examples: length,
    pixels: pixels.slice(0, source.classes.length),
    ignoredPixels: pixels[IGNORE] ?? 0,
    sizes: frequentSizes(stored),
    ...print,
  };
}

async function answer(request: Request): Promise<{ value: Reply["value"]; transfer: ArrayBuffer[] }> {
  switch (request.kind) {
    case "check":
      checked = check();
      checked.catch((fault: unknown) => (broken = LatheError.from(fault)));
      await checked;
      return { value: undefined, transfer: [] };
    case "count": {
      // A training begins once it has these counts.
      await warnings();
      const { pixels } = await countPixels(request.split, request.length);
      return { value: pixels.slice(0, request.classes), transfer: [] };
    }
    case "warnings":
      return { value: await warnings(), transfer: [] };
    case "figures":
      return { value: await figures(), transfer: [] };
    case "example": {
      const { image, label } = await examples.example(request.split, request.index);
      const copy = { image: Uint8Array.from(image), label: Uint8Array.from(label) };
      return { value: copy, transfer: [copy.image.buffer, copy.label.buffer] };
    }
    case "assemble": {
      const { split, order, spare } = request;
      const chosen = await Promise.all(order.indices.map((index) => examples.example(split, index)));
      const batch = assembleBatch(chosen, size, order, spare);
      return { value: batch, transfer: [batch.images.buffer as ArrayBuffer, batch.labels.buffer as ArrayBuffer] };
    }
  }
}

/** Answers a request. If files are broken, it rejects with the error of the check over all files, not with the request's own. */
async function checkedAnswer(request: Request): ReturnType<typeof answer> {
  if (broken) throw broken;
  return answer(request).catch(async (fault: unknown) => {
    await checked;
    throw fault;
  });
}

parentPort?.on("message", ({ id, request }: { id: number; request: Request }) => {
  const send = (reply: Reply, transfer: ArrayBuffer[] = []): void => parentPort?.postMessage(reply, transfer);
  checkedAnswer(request).then(
    ({ value, transfer }) => send({ id, value }, transfer),
    (thrown: unknown) => {
      const { code, message, reason, violations } = LatheError.from(thrown);
      send({ id, fault: { code, message, reason, violations: [...violations] } });
    },
  );
});
