import type { SearchSpace } from "../proto/lathe/v1/space";
import { FIRST_JOINED, strideOf } from "./parts";

/** Pyramid pooling and the joined stages, with logits at the input's size, or with `coarse` at 1/4 of it, as a search has it. */
export interface Aggregation {
  kind: "aggregation";
  pyramidChannels: number;
  dropout: number;
  coarse?: boolean;
}

/** The head of a network (docs/method.md#the-network). "search": 1x1 convolutions, with logits at 1/8 of the input. */
export type Head = { kind: "search" } | Aggregation;

type Searched = Pick<SearchSpace, "pyramidChannels">;

/** The head of the supernet of a space, of its derived networks, and of a genotype before retraining. */
export function searchedHead({ pyramidChannels = 0 }: Searched): Head {
  return pyramidChannels > 0 ? { kind: "aggregation", pyramidChannels, dropout: 0, coarse: true } : { kind: "search" };
}

/** Input pixels per cell of a head's logits, in each direction. */
export function headStride(head: Head): number {
  if (head.kind === "search") return strideOf(FIRST_JOINED);
  return head.coarse ? strideOf(1) : 1;
}

/** Input pixels per cell of the logits of a space's supernet, in each direction. */
export const searchStride = (space: Searched): number => headStride(searchedHead(space));
