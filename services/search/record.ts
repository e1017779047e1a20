import type { EventName, JsonCodec } from "../../shared/events/catalog";
import { ArchitectureChosen, SearchCreated, SearchFailed, SupernetOrigin } from "../../shared/proto/lathe/v1/events";
import { ArtifactRef, TargetFigures } from "../../shared/proto/lathe/v1/result";
import { Search, SearchPhase, SearchState } from "../../shared/proto/lathe/v1/search";
import { CostMetric, CostTable } from "../../shared/proto/lathe/v1/space";
import { candidatesLeft, initialArchitecture } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { givenGenotype, isSampling } from "../../shared/spec/algorithm";
import { targetSeconds } from "../../shared/spec/target";

export type Ordinals = Partial<Record<EventName | `${EventName}/${number}`, number>>;

/** The stored state of a search: the part that clients see, and the input of the next work item. */
export interface SearchRecord {
  search: Search;
  /** SHA-256 of the resolved spec's canonical JSON. */
  specSha256: string;
  /** The search from whose supernet this one starts. */
  origin: SupernetOrigin | undefined;
  /** Costs of the measured operators; undefined where MACs are the cost. */
  costTable: CostTable | undefined;
  /** The discrete network with inherited weights. */
  derivedOnnx: ArtifactRef | undefined;
  derivedWeights: ArtifactRef | undefined;
  /** The network that is nearest to the target so far, among those measured before training; undefined before the first measurement. */
  nearest: ArchitectureChosen | undefined;
  /** The network that is profiled at the end. */
  networkOnnx: ArtifactRef | undefined;
  /** Why the search has to fail, until search.failed has been stored. */
  failure: SearchFailed | undefined;
  /** Highest ordinal of each event that has been taken in, by name, and lane where the name has lanes; 0 for events without one. */
  ordinals: Ordinals;
  /** Id of the command that was carried out last. */
  issued: string;
}

/** Writes a record as a Search in proto3 JSON, with the rest of the record in one more field, which readers of Search skip. */
export const recordCodec: JsonCodec<SearchRecord> = {
  toJSON: ({
    search,
    specSha256,
    origin,
    costTable,
    derivedOnnx,
    derivedWeights,
    nearest,
    networkOnnx,
    failure,
    ordinals,
    issued,
  }) => ({
    ...(Search.toJSON(search) as object),
    next: {
      specSha256,
      issued,
      told: ordinals,
      ...(origin && { origin: SupernetOrigin.toJSON(origin) }),
      ...(costTable && { costTable: CostTable.toJSON(costTable) }),
      ...(derivedOnnx && { derivedOnnx: ArtifactRef.toJSON(derivedOnnx) }),
      ...(derivedWeights && { derivedWeights: ArtifactRef.toJSON(derivedWeights) }),
      ...(nearest && { nearest: ArchitectureChosen.toJSON(nearest) }),
      ...(networkOnnx && { networkOnnx: ArtifactRef.toJSON(networkOnnx) }),
      ...(failure && { failure: SearchFailed.toJSON(failure) }),
    },
  }),
  fromJSON: (object) => {
    const { next = {} } = object as { next?: Record<string, unknown> };
    const read = <T>(codec: JsonCodec<T>, name: string) =>
      next[name] === undefined ? undefined : codec.fromJSON(next[name]);
    return {
      search: Search.fromJSON(object),
      specSha256: text(next["specSha256"]),
      origin: read(SupernetOrigin, "origin"),
      costTable: read(CostTable, "costTable"),
      derivedOnnx: read(ArtifactRef, "derivedOnnx"),
      derivedWeights: read(ArtifactRef, "derivedWeights"),
      nearest: read(ArchitectureChosen, "nearest"),
      networkOnnx: read(ArtifactRef, "networkOnnx"),
      failure: read(SearchFailed, "failure"),
      ordinals: next["told"] ?? {},
      issued: text(next["issued"]),
    };
  },
};

const text = (value: unknown) => (typeof value === "string" ? value : "");

/**
 * The record of a new search. It begins with retraining where the network is given, with the derivation where the supernet of another search
 * is, and with profiling where latency is the cost.
 */
export function newRecord(id: string, created: SearchCreated, time: Date, requestId = ""): SearchRecord {
  const { spec, space, specSha256, origin } = created;
  const given = givenGenotype(spec);
  // A given network is not searched, so the result has no size of a space.
  const searched = given === undefined ? space : undefined;
  const start = searched && initialArchitecture(searched);
  // No candidate leaves a space from which whole networks are drawn.
  const shrinks = start && !isSampling(spec);
  const left = origin?.candidatesLeft ?? (shrinks ? candidatesLeft(start) : 0);
  const measured = spec?.cost?.metric === CostMetric.COST_METRIC_LATENCY;
  return {
    search: {
      ...Search.fromPartial({
        id,
        state: SearchState.SEARCH_STATE_PENDING,
        phase: given
          ? SearchPhase.SEARCH_PHASE_RETRAINING
          : origin
            ? SearchPhase.SEARCH_PHASE_DERIVING
            : measured
              ? SearchPhase.SEARCH_PHASE_PROFILING_OPERATORS
              : SearchPhase.SEARCH_PHASE_SEARCHING,
        candidatesLeft: left,
        result: {
          ...(given && { genotype: given }),
          ...(origin && {
            ...{ target: originalTarget(spec, origin), convergedEpoch: origin.convergedEpoch },
            ...(origin.dataset && { dataset: origin.dataset }),
          }),
          log10SpaceStart: searched ? log10Size(searched) : 0,
          candidatesStart: start ? candidatesLeft(start) : 0,
          candidatesLeft: left,
        },
        requestId,
      }),
      spec,
      space,
      createdAt: time,
      updatedAt: time,
    },
    specSha256,
    origin,
    costTable: origin?.costTable,
    derivedOnnx: undefined,
    derivedWeights: undefined,
    nearest: undefined,
    networkOnnx: undefined,
    failure: undefined,
    ordinals: {},
    issued: "",
  };
}

/** The target of a branch: what its origin has measured is not measured again. */
function originalTarget(
  spec: SearchSpec | undefined,
  { smallestSeconds, largestSeconds }: SupernetOrigin,
): TargetFigures {
  const bounds = { smallestSeconds, largestSeconds };
  return TargetFigures.fromPartial({ targetSeconds: targetSeconds(spec?.cost) ?? 0, ...bounds });
}

/** The events that end a search, and the state that each leaves it in. */
export const ENDS = {
  "search.succeeded": SearchState.SEARCH_STATE_SUCCEEDED,
  "search.failed": SearchState.SEARCH_STATE_FAILED,
  "search.cancelled": SearchState.SEARCH_STATE_CANCELLED,
} as const;

/** Whether an event of this name ends its search. */
export const isEnd = (type: EventName): type is keyof typeof ENDS => Object.hasOwn(ENDS, type);

const ENDED: ReadonlySet<SearchState> = new Set(Object.values(ENDS));

/** Whether nothing more happens to a search, unless it has failed and is resumed. */
export function isEnded({ state }: Pick<Search, "state">): boolean {
  return ENDED.has(state);
}

/** Whether a search has ended in a way from which it cannot be resumed. */
export function isFinal(search: Pick<Search, "state">): boolean {
  return isEnded(search) && search.state !== SearchState.SEARCH_STATE_FAILED;
}

/** Whether no event can change a search any more. A cancelled one still waits for network.kept. */
export function isComplete({ search, ordinals }: SearchRecord): boolean {
  if (search.state === SearchState.SEARCH_STATE_CANCELLED) return ordinals["network.kept"] !== undefined;
  return isFinal(search);
}

/** "RUNNING" for SEARCH_STATE_RUNNING. */
export function stateName(state: SearchState): string {
  return (SearchState[state] ?? String(state)).replace("SEARCH_STATE_", "");
}
