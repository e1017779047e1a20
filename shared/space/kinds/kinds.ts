import { LatheError } from "../../process/errors";
import { OperationKind } from "../../proto/lathe/v1/space";
import { bottleneck } from "./bottleneck";
import { factorized } from "./factorized";
import { inverted } from "./inverted";
import type { Half, Kind } from "./kind";
import { plain } from "./plain";
import { separable } from "./separable";
import { separable5 } from "./separable5";

/** Every kind of candidate operation, in the order of the contract. */
export const KINDS: readonly Kind[] = [factorized, plain, separable, separable5, bottleneck, inverted];

/** The kind of a block or an operation; factorized where none is given. INVALID_ARGUMENT for a kind that this version does not know. */
export function kindOf({ kind = factorized.kind }: { kind?: OperationKind | undefined }): Kind {
  const found = KINDS.find((one) => one.kind === kind);
  if (found) return found;
  throw new LatheError("INVALID_ARGUMENT", `the kind of an operation is ${kind}, must be one of ${kindNames()}`);
}

/** "separable5" */
export const kindName = ({ kind }: Kind): string =>
  (OperationKind[kind] ?? String(kind)).replace(/^OPERATION_KIND_/, "").toLowerCase();

/** The names of all kinds, for messages. */
export const kindNames = (): string => KINDS.map(kindName).join(", ");

/** Channels between the halves of a block. */
export const middleChannels = (block: { kind?: OperationKind | undefined; middleWidth: number }): number =>
  kindOf(block).expansion * block.middleWidth;

/** MACs of a half per position and channel, or pair of channels. */
interface HalfMacs {
  perInput: number;
  perPair: number;
}

/** MACs per position: of the depthwise filter per input channel, and of the dense one per pair of input and output channel. */
export function halfMacs({ depthwise, dense }: Half): HalfMacs {
  return { perInput: depthwise ? area(depthwise) : 0, perPair: area(dense) };
}

const area = ([rows, columns]: readonly [number, number]): number => rows * columns;

/** MACs per position of an operation from `input` through `middle` to `output` channels, `middle` those of middleChannels. */
export function operationMacs({ first, second }: Kind, input: number, middle: number, output: number): number {
  const half = (one: Half, from: number, to: number) => {
    const { perInput, perPair } = halfMacs(one);
    return from * (perInput + perPair * to);
  };
  return half(first, input, middle) + half(second, middle, output);
}
