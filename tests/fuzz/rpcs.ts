import { createFileRegistry, type DescMessage } from "@bufbuild/protobuf";
import type { ServiceName } from "../../cli/stack/stack";
import { contract } from "../../shared/process/contract";

/** When a call must have ended: an answer within the limit, its own deadline (work that takes long), or the client's cancellation. */
type Ending = "answer" | "deadline" | "cancel";

export interface Rpc {
  /** The process that serves it. */
  service: ServiceName;
  /** "GetSearch". */
  name: string;
  /** "/lathe.v1.SearchService/GetSearch". */
  path: string;
  input: DescMessage;
  isStream: boolean;
  ending: Ending;
}

/** The calls that compute in a process of their own, wait for their turn or follow a search. All others must answer at once. */
const ENDINGS: Readonly<Record<string, Ending>> = {
  WatchSearch: "cancel",
  EvaluateArchitecture: "deadline",
  ExportNetwork: "deadline",
  EvaluateNetwork: "deadline",
  ProfileNetwork: "deadline",
  ProfileOperators: "deadline",
};

/** Every rpc of package lathe.v1, in the order of the contract. "lathe.v1.SearchService" is served by the process "search". */
export function rpcs(): Rpc[] {
  const services = [...createFileRegistry(contract())].filter((one) => one.kind === "service");
  return services
    .filter(({ file }) => file.proto.package === "lathe.v1")
    .flatMap(({ name: serviceName, typeName, methods }) =>
      methods.map(({ name, input, methodKind }) => ({
        service: serviceName.replace(/Service$/, "").toLowerCase() as ServiceName,
        name,
        path: `/${typeName}/${name}`,
        input,
        isStream: methodKind === "server_streaming",
        ending: ENDINGS[name] ?? "answer",
      })),
    );
}
