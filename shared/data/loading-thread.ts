/** Entry of the dataset's thread: decodes or draws examples, keeps them, assembles batches. Serves the requests of loading.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { LatheError } from "../process/errors";
import { assembleBatch } from "./assemble";
import { ExampleCache } from "./cache";
import type { Batch, Example } from "./example";
import { checkAll, loadPair } from "./files";
import type { Reply, Request, SplitName, ThreadSetup } from "./loading";
import { drawScene } from "./streets/scene";

const setup = workerData as ThreadSetup;
const { size } = setup;
const cache = new ExampleCache(setup.cacheBytes);

function load(split: SplitName, index: number): Promise<Example> {
  return cache.get(`${split}/${index}`, () => {
    const { source } = setup;
    if (source.kind === "scenes") return Promise.resolve(drawScene(size, source.seed, split, index));
    const pair = source[split][index];
    if (pair === undefined) throw new LatheError("INTERNAL", `example ${index} of ${split} is past the end`);
    return loadPair(pair, size, source.labelMap);
  });
}

async function check(): Promise<void> {
  const { source } = setup;
  if (source.kind === "scenes") return;
  await checkAll(source.train.length + source.validation.length, (at) => {
    const inTrain = at < source.train.length;
    return inTrain ? load("train", at) : load("validation", at - source.train.length);
  });
}

async function countPixels(split: SplitName, length: number, classes: number): Promise<number[]> {
  const counts = new Array<number>(256).fill(0);
  for (let index = 0; index < length; index++) {
    const { label } = await load(split, index);
    for (let at = 0; at < label.length; at++) counts[label[at]!]! += 1;
  }
  return counts.slice(0, classes);
}

async function answer(request: Request): Promise<{ value: Reply["value"]; transfer: ArrayBuffer[] }> {
  switch (request.kind) {
    case "check":
      await check();
      return { value: undefined, transfer: [] };
    case "count":
      return { value: await countPixels(request.split, request.length, request.classes), transfer: [] };
    case "example": {
      const { image, label } = await load(request.split, request.index);
      const copy = { image: Uint8Array.from(image), label: Uint8Array.from(label) };
      return { value: copy, transfer: [copy.image.buffer, copy.label.buffer] };
    }
    case "assemble": {
      const examples = await Promise.all(request.order.indices.map((index) => load(request.split, index)));
      const batch: Batch = assembleBatch(examples, size, request.order);
      return { value: batch, transfer: [batch.images.buffer as ArrayBuffer, batch.labels.buffer as ArrayBuffer] };
    }
  }
}

parentPort?.on("message", ({ id, request }: { id: number; request: Request }) => {
  const send = (reply: Reply, transfer: ArrayBuffer[] = []): void => parentPort?.postMessage(reply, transfer);
  answer(request).then(
    ({ value, transfer }) => send({ id, value }, transfer),
    (thrown: unknown) => {
      const { code, message, reason, violations } = LatheError.from(thrown);
      send({ id, fault: { code, message, reason, violations: [...violations] } });
    },
  );
});
