/** Rules on the modules that a process loads when it starts. Type imports do not count, because they load nothing. */
module.exports = {
  forbidden: [
    {
      name: "services-load-no-tensors",
      comment:
        "TF.js and ONNX Runtime belong in the child process that computes: TF.js alone takes 29 MiB of a service that only waits.",
      severity: "error",
      from: { path: "^services/[^/]+/main\\.ts$" },
      to: { path: "node_modules/(@tensorflow|onnxruntime-node|sharp)/", reachable: true },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: false,
    doNotFollow: { path: "node_modules" },
  },
};
