// Loaded into each process by NODE_OPTIONS: the process of a derivation kills itself when it gets a search of the seed DIES_AT_SEED.
if (/discretization.worker/.test(process.argv[1] ?? ""))
  process.on("message", ({ job }) => {
    if (job?.kind === "derive" && String(job.job.spec.seed) === process.env.DIES_AT_SEED)
      process.kill(process.pid, "SIGKILL");
  });
