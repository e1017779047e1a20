/** Entry of the data set's thread, which serves the requests of loading.ts: decodes or draws examples, caches them, assembles batches. */
import { parentPort, workerData } from "node:worker_threads";
import { LatheError } from "../../process/errors";
import { assembleBatch } from "../assemble";
import { confine } from "../confinement";
import { checkAll } from "../files";
import { loader } from "./loaders";
import type { Reply, Request, SplitName, ThreadSetup } from "./loading";

const setup = workerData as ThreadSetup;
const { size } = setup;
confine(setup.folders);
const examples = loader(setup);

const counted = new Map<SplitName, Promise<number[]>>();
let checked: Promise<void> | undefined;
/** The error of the check, once it has failed. */
let broken: LatheError | undefined;

/** Counts the pixels of a split by label, [256]. */
function countPixels(split: SplitName, length: number): Promise<number[]> {
  const known = counted.get(split);
  if (known) return known;
  const counts = new Array<number>(256).fill(0);
  const count = async (index: number): Promise<void> => {
    for (const value of await examples.label(split, index)) counts[value]! += 1;
  };
  const counting = checkAll(length, count).then(() => counts);
  counted.set(split, counting);
  return counting;
}

/** Checks all examples, labels of the training split first: a training waits for their counts. A fault is reported with its example. */
async function check(): Promise<void> {
  const { source } = setup;
  // Scenes need no check. They are drawn on request.
  if (source.kind === "files") await countPixels("train", source.train.length).catch(() => undefined);
  await examples.check();
}

async function answer(request: Request): Promise<{ value: Reply["value"]; transfer: ArrayBuffer[] }> {
  switch (request.kind) {
    case "check":
      checked = check();
      checked.catch((fault: unknown) => (broken = LatheError.from(fault)));
      await checked;
      return { value: undefined, transfer: [] };
    case "count": {
      const counts = await countPixels(request.split, request.length);
      return { value: counts.slice(0, request.classes), transfer: [] };
    }
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
