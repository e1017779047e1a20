import { tf } from "./tf";

/** Where a node of a traced graph comes from. */
export interface Origin {
  /** Part of the network, e.g. "stage1/block2"; empty where the builder named none. */
  readonly part: string;
  /** The TF.js kernel whose rule wrote the node, e.g. "LatheConv2d"; empty for what no kernel wrote. */
  readonly kernel: string;
  /** In the backward pass: the kernel whose derivative the node belongs to; empty in the forward pass. */
  readonly derivativeOf: string;
}

type Place = Omit<Origin, "kernel">;

let place: Place = { part: "", derivativeOf: "" };

/** The part and derivative that are being traced now. */
export const currentPlace = (): Place => place;

/**
 * Runs a piece of a step as a named part of its network: nodes traced meanwhile, and those of their derivatives, carry the name.
 * The innermost name counts. Outside of a trace it only calls the body.
 */
export function scoped<T>(part: string, body: () => T): T {
  return at({ part, derivativeOf: place.derivativeOf }, body);
}

function at<T>(there: Place, body: () => T): T {
  const before = place;
  place = there;
  try {
    return body();
  } finally {
    place = before;
  }
}

type Gradients = Record<string, () => tf.Tensor>;

/** What of TF.js's engine writes and holds the tape. */
interface Taping {
  addTapeNode(kernel: string, ...rest: unknown[]): void;
  state: { activeTape?: { outputs: tf.Tensor[]; gradient?: (dys: (tf.Tensor | null)[]) => Gradients }[] };
}

let zeros = new Float32Array();

/** A tensor of zeros over memory that all such share: TF.js itself allocates for each output without a derivative, and few are ever read. */
function sharedZeros({ shape, size }: tf.Tensor): tf.Tensor {
  if (zeros.length < size) zeros = new Float32Array(size);
  return tf.tensor(zeros.subarray(0, size), shape, "float32");
}

/** Runs a body in which the derivative of an op, taken outside of the op's scope, is traced as of that scope. */
export function withDerivativesInScope<T>(body: () => T): T {
  const engine = tf.engine() as unknown as Taping;
  const add = engine.addTapeNode.bind(engine);
  // Shadows the method of the prototype for the time of the body.
  engine.addTapeNode = (kernel, ...rest) => {
    add(kernel, ...rest);
    const entry = engine.state.activeTape?.at(-1);
    const derive = entry?.gradient;
    if (entry === undefined || derive === undefined) return;
    const there = { part: place.part, derivativeOf: kernel };
    const { outputs } = entry;
    entry.gradient = (dys) => {
      const all = dys.map((dy, index) => dy ?? sharedZeros(outputs[index] as tf.Tensor));
      return Object.fromEntries(
        Object.entries(at(there, () => derive(all))).map(([name, gradient]) => [name, () => at(there, gradient)]),
      );
    };
  };
  try {
    return body();
  } finally {
    Reflect.deleteProperty(engine, "addTapeNode");
  }
}
