import { parseArgs } from "node:util";
import * as ort from "onnxruntime-node";
import { readGenotype } from "../cli/spec/networkBuild";
import { encodeDeploy } from "../shared/engine/deploy/deploy";
import { encodeModel } from "../shared/engine/encode";
import type { Graph } from "../shared/engine/graph";
import { calibrate } from "../shared/engine/quantize/calibrate";
import { planQuantization } from "../shared/engine/quantize/plan";
import { quantize } from "../shared/engine/quantize/quantize";
import { createRandom } from "../shared/engine/random";
import { decideEarly } from "../shared/engine/rewrites/classMap";
import { REWRITES, rewritten, type Rewrite } from "../shared/engine/rewrites/table";
import { createSession } from "../shared/engine/session";
import { buildDiscrete } from "../shared/network/discrete";
import { networkGraph } from "../shared/network/networkGraph";
import { packageRoot } from "../shared/process/root";
import { positive, type Measurement } from "./measurement";
import { drawn, inTurns, PYRAMID, THREADS, timed } from "./network";

/** What a network gives, as a model of it with a list of rewrites. */
const FORMS: Record<string, (plain: Graph, rewrites: readonly Rewrite[]) => Uint8Array> = {
  "class map": (plain, rewrites) => encodeDeploy(plain, {}, rewrites),
  logits: (plain, rewrites) => encodeModel(rewritten(plain, rewrites), "network"),
};

/** Further forms of a class map, which are other functions than the plain one: see docs/deploy-a-network.md#int8. */
const VARIANTS: Record<string, (plain: Graph, input: Size) => Promise<Uint8Array>> = {
  early: (plain) => Promise.resolve(encodeDeploy(rewritten(plain), {}, [decideEarly])),
  int8: async (plain, input) => encodeDeploy(await int8(plain, input), {}, [REWRITES.classes]),
  "int8, early": async (plain, input) => encodeDeploy(await int8(plain, input), {}, [decideEarly]),
};

/** Calibrated on one image of random pixels: the time does not depend on the ranges. */
async function int8(plain: Graph, [height, width]: Size): Promise<Graph> {
  const graph = rewritten(plain);
  const random = createRandom(3, "calibration");
  const image = Float32Array.from({ length: 3 * height * width }, () => random.next());
  const plan = planQuantization(graph);
  const images = (async function* () {
    yield await Promise.resolve(image);
  })();
  return quantize(graph, plan, await calibrate(graph, plan, images, { provider: "cpu", threads: 1 }));
}

type Size = readonly [height: number, width: number];

/**
 * Measures the plain and the rewritten export of the networks of docs/examples/networks in turns, batch 1: class map of an image of the
 * network's size, and logits. Arguments: --network (default: paper and erfnet), --height and --width of the input, --rounds, --each to leave out one rewrite
 * at a time as well, --variants for class maps with an early argmax and with int8 convolutions as well.
 */
export async function rewrites(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      height: { type: "string", default: "512" },
      width: { type: "string", default: "1024" },
      rounds: { type: "string", default: "8" },
      network: { type: "string", multiple: true, default: ["paper", "erfnet"] },
      each: { type: "boolean", default: false },
      variants: { type: "boolean", default: false },
    },
  });
  const input = [positive(values.height, "--height"), positive(values.width, "--width")] as const;
  const all = Object.entries(REWRITES);
  const lists: Record<string, readonly Rewrite[]> = { plain: [], rewritten: all.map(([, rewrite]) => rewrite) };
  if (values.each)
    for (const [name] of all)
      lists[`without ${name}`] = all.filter(([other]) => other !== name).map(([, rewrite]) => rewrite);
  const measurements: Measurement[] = [];
  for (const network of values.network)
    for (const form of Object.keys(FORMS))
      measurements.push(
        await measured(network, input, form, lists, values.variants, positive(values.rounds, "--rounds")),
      );
  return measurements;
}

async function measured(
  name: string,
  input: Size,
  form: string,
  lists: Readonly<Record<string, readonly Rewrite[]>>,
  withVariants: boolean,
  rounds: number,
): Promise<Measurement> {
  const genotype = readGenotype({ file: `${packageRoot()}/docs/examples/networks/${name}.json`, input: [...input] });
  const network = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels: PYRAMID, dropout: 0 });
  const random = createRandom(1, "bench");
  const plain = networkGraph(network, drawn(network, random));
  const models = Object.fromEntries(Object.entries(lists).map(([side, list]) => [side, FORMS[form]!(plain, list)]));
  if (withVariants && form === "class map")
    for (const [side, build] of Object.entries(VARIANTS)) models[side] = await build(plain, input);
  const [series, ratios]: Record<string, number[]>[] = [{}, {}];
  for (const threads of THREADS) {
    const sides: Record<string, (runs: number) => Promise<number[]>> = {};
    const sessions: ort.InferenceSession[] = [];
    for (const [side, model] of Object.entries(models)) {
      const session = await createSession(model, { provider: "cpu", threads });
      sessions.push(session);
      const feeds = imageFor(form, input);
      sides[side] = timed(() => session.run(feeds));
    }
    const medians = await inTurns(sides, rounds, (side, ms) =>
      (series![`${side}, ${threads} threads`] ??= []).push(...ms),
    );
    for (const side of Object.keys(models).filter((each) => each !== "plain"))
      ratios![`${side} / plain, ${threads} threads`] = medians.map((row) => row[side]! / row.plain!);
    for (const session of sessions) await session.release();
  }
  return {
    title: `${form} of ${name}, batch 1, ${input.join("x")}`,
    unit: "ms",
    series: series!,
    ratios: ratios!,
    notes: { rounds },
  };
}

function imageFor(form: string, [height, width]: readonly [number, number]): Record<string, ort.Tensor> {
  const random = createRandom(2, "image");
  const length = 3 * height * width;
  if (form === "logits") {
    const image = Float32Array.from({ length }, () => random.next());
    return { image: new ort.Tensor("float32", image, [1, 3, height, width]) };
  }
  const images = Uint8Array.from({ length }, () => 256 * random.next());
  return { images: new ort.Tensor("uint8", images, [1, height, width, 3]) };
}
