import type { Genotype, HeadWidths, SearchSpace } from "../proto/lathe/v1/space";
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

type WithPyramid = Pick<SearchSpace, "pyramidChannels">;

/** The head of the supernet of a space, of its derived networks, and of a genotype before retraining. */
export function searchedHead({ pyramidChannels = 0 }: WithPyramid): Head {
  return pyramidChannels > 0 ? { kind: "aggregation", pyramidChannels, dropout: 0, coarse: true } : { kind: "search" };
}

/** Input pixels per cell of a head's logits, in each direction. */
export function headStride(head: Head): number {
  if (head.kind === "search") return strideOf(FIRST_JOINED);
  return head.coarse ? strideOf(1) : 1;
}

/** Input pixels per cell of the logits of a space's supernet, in each direction. */
export const searchStride = (space: WithPyramid): number => headStride(searchedHead(space));

/** A width of the aggregation head that a search may choose: one decision group. */
export interface HeadWidth extends Bounds {
  id: `head/${List}`;
  /** Its list in HeadWidths. */
  list: List;
  /** Its field in a genotype, which leaves out the full width; the same as the contract spells it. */
  field: `${List}Width`;
  name: `${List}_width`;
  /** The candidates in a space; none where it is not searched. */
  candidates: (space: Pick<SearchSpace, "headWidths">) => readonly number[];
}

type List = keyof HeadWidths;

interface Bounds {
  least: number;
  full: (of: Headed) => number;
}

type Headed = WithPyramid & { stages: readonly { channels: number }[] };

const searchable = (list: List, bounds: Bounds): HeadWidth => ({
  ...{ id: `head/${list}`, list, field: `${list}Width`, name: `${list}_width`, ...bounds },
  candidates: ({ headWidths }) => headWidths?.[list] ?? [],
});

/** Channels of the context, of what joins the stages to it, and of the fusion. */
export const JOINED = searchable("joined", { least: 1, full: ({ stages }) => stages[1]?.channels ?? 0 });

/** Channels of each branch of the pyramid pooling; 0 without it. */
export const PYRAMID = searchable("pyramid", { least: 0, full: ({ pyramidChannels = 0 }) => pyramidChannels });

/** Channels of the unit that joins the first stage and the stem. */
export const DETAIL = searchable("detail", { least: 1, full: ({ stages }) => stages[0]?.channels ?? 0 });

/** The widths of the aggregation head (docs/method.md#the-network), in the order of their groups. */
export const HEAD_WIDTHS = [JOINED, PYRAMID, DETAIL] as const;

/** The widths of the head that a space searches. */
export const searchedWidths = (space: SearchSpace): readonly HeadWidth[] =>
  HEAD_WIDTHS.filter(({ candidates }) => candidates(space).length > 0);

/** A width of a network's head; `of`: its space, where the network may leave out which head it has. */
export const headWidth = ({ field, full }: HeadWidth, genotype: Genotype, of: Headed = genotype): number =>
  genotype[field] ?? full(of);

/** A network with other widths of its head. A full width is left out. */
export function withHeadWidths(genotype: Genotype, widthOf: (width: HeadWidth) => number): Genotype {
  const { joinedWidth: _joined, pyramidWidth: _pyramid, detailWidth: _detail, ...bare } = genotype;
  const narrower = HEAD_WIDTHS.filter((each) => widthOf(each) !== each.full(bare));
  return { ...bare, ...Object.fromEntries(narrower.map((each) => [each.field, widthOf(each)])) };
}
