import { tf } from "./tf";

/** Origin of a node of a traced graph. */
export interface Origin {
  /** Part of the network, for example "stage1/block2"; empty outside named parts. */
  readonly part: string;
  /** TF.js kernel whose rule wrote the node, for example "LatheConv2d"; empty if no kernel wrote it. */
  readonly kernel: string;
  /** Kernel whose derivative the node belongs to; empty in the forward pass. */
  readonly derivativeOf: string;
}

type Place = Omit<Origin, "kernel">;

let place: Place = { part: "", derivativeOf: "" };

/** Current part and derivative of the trace. */
export const currentPlace = (): Place => place;

/**
 * Runs a piece of a step as a named part of the network: the nodes that it traces, and their derivatives, get the name. The innermost
 * name counts. Outside a trace, the function only calls the body.
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

/** The members of TF.js's engine that write and hold the tape. */
interface Taping {
  addTapeNode(kernel: string, ...rest: unknown[]): void;
  state: { activeTape?: { outputs: tf.Tensor[]; gradient?: (dys: (tf.Tensor | null)[]) => Gradients }[] };
}

let zeros = new Float32Array();

/**
 * A tensor of zeros that shares its memory with others of its size. TF.js would allocate one for each output without a derivative, and
 * few are read.
 */
function sharedZeros({ shape, size }: tf.Tensor): tf.Tensor {
  if (zeros.length < size) zeros = new Float32Array(size);
  return tf.tensor(zeros.subarray(0, size), shape, "float32");
}

/** Runs a body so that the derivative of an op is traced in the scope of that op, although TF.js takes it outside. */
export function withDerivativesInScope<T>(body: () => T): T {
  const engine = tf.engine() as unknown as Taping;
  const add = engine.addTapeNode.bind(engine);
  // Shadows the method of the prototype during the body.
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
