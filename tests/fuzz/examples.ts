import { DecideRequest, SimulateScheduleRequest } from "../../shared/proto/lathe/v1/shrinking";
import {
  DiscretizeRequest,
  EvaluateNetworkRequest,
  ExportNetworkRequest,
} from "../../shared/proto/lathe/v1/discretization";
import { PRESETS } from "../../shared/spec/bounds";
import { ProfileNetworkRequest, ProfileOperatorsRequest } from "../../shared/proto/lathe/v1/latency";
import {
  CancelSearchRequest,
  DownloadArtifactRequest,
  DropDeadLetterRequest,
  GetDeadLetterRequest,
  GetSearchRequest,
  ListDeadLettersRequest,
  ListParetoFrontsRequest,
  ListSearchesRequest,
  StartSearchRequest,
  WatchSearchRequest,
} from "../../shared/proto/lathe/v1/search";
import type { Architecture, Genotype, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, DatasetKind, SearchSpec, ShrinkingSpec } from "../../shared/proto/lathe/v1/spec";
import { DescribeSpaceRequest, EvaluateArchitectureRequest } from "../../shared/proto/lathe/v1/supernet";
import { ModelProto } from "../../shared/proto/onnx/onnx";
import { initialArchitecture } from "../../shared/space/groups";
import { resolve } from "../../shared/spec/resolve";
import { smallSpec } from "../specs";
import { idOf, ROLES } from "./roles";

/** Valid requests by rpc, as bytes, and texts that the services know. Search ids and objects are stand-ins. */
export interface Examples {
  requests: Readonly<Record<string, readonly Uint8Array[]>>;
  known: readonly string[];
}

/** Answers about the ended search, from which examples are made. */
export interface Seen {
  space: SearchSpace;
  /** After each epoch. */
  architectures: readonly Architecture[];
  genotype: Genotype;
  objects: readonly string[];
  pageToken: string;
}

/** A search that is over in a moment. */
const quickSpec = (overrides: Parameters<typeof smallSpec>[0] = {}) =>
  smallSpec({
    training: { epochs: 2, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.5 },
    retraining: { epochs: 1, batchSize: 4, pyramidChannels: 4 },
    labels: { team: "fuzz" },
    ...overrides,
  });

export function examplesOf({ space, architectures, genotype, objects, pageToken }: Seen): Examples {
  const specs = [
    quickSpec(),
    quickSpec({ algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_DARTS } }),
    quickSpec({ algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_RANDOM }, sampling: { candidates: 2 } }),
    quickSpec({ algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype } }),
  ];
  const presets = PRESETS.map((preset) => SearchSpec.fromPartial({ preset }));
  const policy = ShrinkingSpec.fromPartial({ threshold: 0.5, firstEpoch: 1 });
  const all = <T>(codec: Codec<T>, requests: readonly T[]) => requests.map((one) => codec.encode(one).finish());
  const ofEachSearch = all(
    GetSearchRequest,
    ROLES.map((role) => ({ searchId: idOf(role) })),
  );
  // Searches that end by it are made anew between the rounds; the ended one has the objects that others read.
  const ofOthers = all(
    GetSearchRequest,
    ROLES.filter((role) => role !== "ended").map((role) => ({ searchId: idOf(role) })),
  );
  const tinySpace = resolve(presets[0]!).space;
  const requests: Record<string, Uint8Array[]> = {
    StartSearch: all(
      StartSearchRequest,
      specs.map((spec, index) => ({ spec, requestId: index === 0 ? "" : `fuzz-${index}` })),
    ),
    GetSearch: ofEachSearch,
    ListSearches: all(ListSearchesRequest, [
      { pageSize: 0, pageToken: "", states: [], labels: {} },
      { pageSize: 2, pageToken: "", states: [1, 2, 4], labels: { team: "fuzz" } },
      { pageSize: 1, pageToken, states: [], labels: {} },
    ]),
    ListParetoFronts: all(
      ListParetoFrontsRequest,
      [
        {},
        { searchIds: ROLES.map(idOf), threads: 1 },
        { labels: { team: "fuzz" }, datasetKind: DatasetKind.DATASET_KIND_STREETS, deviceClass: "cpu", limit: 2 },
        { datasetSha256: "0".repeat(64), datasetPath: "data", device: "cpu", inputHeight: 64, inputWidth: 128 },
      ].map((one) => ListParetoFrontsRequest.fromPartial(one)),
    ),
    WatchSearch: all(
      WatchSearchRequest,
      ROLES.flatMap((role, index) => [
        { searchId: idOf(role), fromSequence: 0, includeProgress: index % 2 === 0 },
        { searchId: idOf(role), fromSequence: 5 * index, includeProgress: index % 2 === 1 },
      ]),
    ),
    PauseSearch: ofEachSearch,
    ResumeSearch: ofEachSearch,
    CancelSearch: all(
      CancelSearchRequest,
      ROLES.map((role) => ({ searchId: idOf(role), reason: `fuzz of the ${role} search` })),
    ),
    DeleteSearch: ofOthers,
    ListArtifacts: ofEachSearch,
    DownloadArtifact: all(
      DownloadArtifactRequest,
      objects.map((object) => ({ searchId: idOf("ended"), object })),
    ),
    ListDeadLetters: all(ListDeadLettersRequest, [{ pageSize: 10, fromSequence: 0 }]),
    GetDeadLetter: all(GetDeadLetterRequest, [{ sequence: 1 }]),
    DropDeadLetter: all(DropDeadLetterRequest, [{ sequence: 1 }]),
    GetTrainingStatus: [new Uint8Array()],
    EvaluateArchitecture: all(EvaluateArchitectureRequest, [{ searchId: idOf("ended"), genotype }]),
    DescribeSpace: all(
      DescribeSpaceRequest,
      [...specs, ...presets].map((spec) => ({ spec })),
    ),
    Decide: all(
      DecideRequest,
      architectures.map((architecture, index) => ({
        ...{ space, architecture, epoch: index + 1, epochs: architectures.length },
        policy: index % 2 === 0 ? policy : undefined,
      })),
    ),
    SimulateSchedule: all(SimulateScheduleRequest, [
      { space, policy, epochs: [initialArchitecture(space)] },
      { space: tinySpace, policy: undefined, epochs: Array<Architecture>(20).fill(initialArchitecture(tinySpace)) },
    ]),
    Discretize: all(
      DiscretizeRequest,
      architectures.map((architecture) => ({ space, architecture })),
    ),
    ExportNetwork: all(
      ExportNetworkRequest,
      [0, 64].map((side) => ({
        ...{ searchId: idOf("ended"), inputHeight: side, inputWidth: 2 * side },
        inherited: side === 0,
        form: side === 0 ? 2 : 0,
      })),
    ),
    EvaluateNetwork: all(EvaluateNetworkRequest, [
      EvaluateNetworkRequest.fromPartial({ searchId: idOf("ended"), inherited: true, form: 1 }),
      EvaluateNetworkRequest.fromPartial({
        ...{ model: smallModel(), scale: 1, mean: [1, 2, 3], std: [1, 1, 1], output: "y", seed: 1 },
        ...{ inputHeight: 8, inputWidth: 8, layout: 1 },
        dataset: { kind: DatasetKind.DATASET_KIND_STREETS, validationExamples: 2 },
      }),
    ]),
    ProfileNetwork: all(
      ProfileNetworkRequest,
      objects.map((object) => ({
        ...{ searchId: idOf("ended"), object, profiling: { warmupRuns: 1, timedRuns: 2 } },
        ...{ inputHeight: 0, inputWidth: 0, batchSizes: object.includes("deploy") ? [1, 2] : [] },
      })),
    ),
    ProfileOperators: all(ProfileOperatorsRequest, [
      { space, profiling: { warmupRuns: 1, timedRuns: 2 }, pyramidChannels: 0 },
    ]),
    ListDevices: [new Uint8Array()],
  };
  const groups = architectures[0]?.groups.map(({ id }) => id) ?? [];
  return { requests, known: [...ROLES.map(idOf), ...objects, ...groups, "team", "fuzz"] };
}

/** A model that gives the brightest channel of each pixel, for images of any size. */
function smallModel(): Buffer {
  const value = (name: string, elemType: number) => ({
    name,
    type: { tensorType: { elemType, shape: { dim: ["n", "c", "h", "w"].map((dimParam) => ({ dimParam })) } } },
  });
  const graph = {
    node: [{ input: ["x"], output: ["y"], opType: "ArgMax", attribute: [{ name: "axis", i: 1, type: 2 }] }],
    name: "small",
    input: [value("x", 1)],
    output: [value("y", 7)],
  };
  const model = { irVersion: 8, graph, opsetImport: [{ version: 13 }] };
  return Buffer.from(ModelProto.encode(ModelProto.fromPartial(model)).finish());
}

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
}
