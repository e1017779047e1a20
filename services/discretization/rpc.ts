import type { DataAccess } from "../../shared/data/access";
import type { Bus } from "../../shared/events/bus";
import { historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { ARTIFACTS_BUCKET, isToken } from "../../shared/events/subjects";
import { invalidField } from "../../shared/process/errors";
import { Turns } from "../../shared/process/turns";
import { DiscretizationServiceService } from "../../shared/proto/lathe/v1/discretization";
import { service, type Service } from "../../shared/rpc/handlers";
import { searchedHead } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { derive } from "../../shared/space/genotype";
import { refuse, spaceViolations, validateArchitecture } from "../../shared/space/validate";
import type { EngineOptions } from "../../shared/engine/engine";
import { evaluateNetwork } from "./evaluate";
import { exportNetwork } from "./export";

const CHUNK_BYTES = 256 * 1024;

interface ServiceOptions {
  bus: Bus;
  engine: EngineOptions;
  /** The only folders whose data sets may be opened; undefined: any. */
  dataAccess?: DataAccess | undefined;
}

/** DiscretizationService. Exports that compute run one at a time, and so do evaluations. */
export function discretizationService({ bus, engine, dataAccess }: ServiceOptions): Service {
  const artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  const [exports, evaluations] = [new Turns(), new Turns()];
  // A model of any origin runs on ONNX Runtime, also where TensorFlow trains.
  const provider = engine.engine === "onnxruntime" ? engine.provider : "cpu";
  const session = { provider, threads: engine.threads } as const;
  return service(DiscretizationServiceService, {
    discretize: ({ space, architecture }) => {
      if (!space) throw invalidField("space", "is not set");
      if (!architecture) throw invalidField("architecture", "is not set");
      refuse("INVALID_SPACE", "space", spaceViolations(space, "space."));
      validateArchitecture(space, architecture);
      const { genotype, converged } = derive(space, architecture);
      return { genotype, converged, figures: networkCosts(genotype, searchedHead(space)) };
    },
    exportNetwork: async function* (request, { signal }) {
      const { searchId } = request;
      if (!isToken(searchId))
        throw invalidField("search_id", `is "${searchId.slice(0, 64)}", must be 1 to 64 of a-z, 0-9 and -`);
      const history = await historyOnce(bus, searchId, 0, signal);
      const bytes = await exportNetwork(history, artifacts, exports, request, signal);
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
        yield { chunk: Buffer.from(bytes.subarray(at, at + CHUNK_BYTES)) };
    },
    evaluateNetwork: (request, { signal }) =>
      evaluateNetwork({ bus, artifacts, exports, evaluations, session, dataAccess }, request, signal),
  });
}
