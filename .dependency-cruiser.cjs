/** Imports point one way: services -> network -> { engine, space } -> process/errors, and services -> { data, events, rpc, process } -> shared/proto. */
const only = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: "error",
  from: { path: from, pathNot: "\\.(test|fixture)\\.ts$" },
  to: { path: "^(services|shared|cli|deploy|bench|tests)/", pathNot: allowed },
});
const leaf = "^shared/(proto/|process/(errors|worker|entry|root)\\.ts$)";

module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "services-stay-apart",
      comment: "Services talk over gRPC and NATS, never by import.",
      severity: "error",
      from: { path: "^services/([^/]+)/" },
      to: { path: "^services/", pathNot: "^services/$1/" },
    },
    {
      name: "shared-knows-no-service",
      severity: "error",
      from: { path: "^shared/" },
      to: { path: "^(services|cli|deploy|bench|tests)/" },
    },
    {
      name: "testing-is-for-tests",
      severity: "error",
      from: { pathNot: "\\.(test|fixture)\\.ts$|^tests/|^shared/testing/" },
      to: { path: "^shared/testing/" },
    },
    only("generated-is-a-leaf", "^shared/proto/", "^shared/proto/"),
    only("errors-are-a-leaf", "^shared/process/errors\\.ts$", "^$"),
    only("space-is-arithmetic", "^shared/space/", `^shared/space/|${leaf}`, "No tfjs, no I/O."),
    only("engine-knows-no-network", "^shared/engine/", `^shared/engine/|^shared/process/(memory|gate)\\.ts$|${leaf}`),
    only("network-on-engine-and-space", "^shared/network/", `^shared/(network|engine|space)/|${leaf}`),
    only("data-is-a-layer", "^shared/data/", `^shared/data/|^shared/engine/random\\.ts$|${leaf}`),
    only(
      "evaluation-on-network-and-data",
      "^shared/evaluation/",
      `^shared/(evaluation|network|engine|space|data)/|${leaf}`,
    ),
    only("comparison-is-arithmetic", "^shared/comparison/", `^shared/(comparison|spec)/|${leaf}`, "No I/O."),
    only("service-composes", "^shared/service/", "^shared/(service|events|rpc|process|proto|engine)/"),
    only("spec-is-arithmetic", "^shared/spec/", `^shared/(spec|space)/|^shared/process/contract\\.ts$|${leaf}`),
    only("events-is-a-layer", "^shared/events/", `^shared/events/|^shared/process/|^shared/proto/`),
    only(
      "rpc-is-a-layer",
      "^shared/rpc/",
      `^shared/rpc/|^shared/process/|^shared/proto/|^shared/(spec/bounds|space/validate)\\.ts$`,
      "The bounds of requests are those of the values in them.",
    ),
    only("process-is-the-ground", "^shared/process/", `^shared/process/|^shared/proto/`),
    {
      name: "space-without-tfjs",
      severity: "error",
      from: { path: "^shared/space/" },
      to: { path: "node_modules/(@tensorflow|onnxruntime-node|sharp|nats|@grpc)" },
    },
    {
      name: "nats-behind-events",
      severity: "error",
      from: { path: "^(services|shared|cli|deploy)/", pathNot: "^shared/(events|testing)/|\\.(test|fixture)\\.ts$" },
      to: { path: "node_modules/nats/" },
    },
    {
      name: "onnxruntime-behind-engine",
      severity: "error",
      from: {
        path: "^(services|shared|cli|deploy)/",
        pathNot: "^shared/(engine|testing)/|^services/latency/|\\.(test|fixture)\\.ts$",
      },
      to: { path: "node_modules/onnxruntime" },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^dist/" },
  },
};
