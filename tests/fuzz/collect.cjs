// Loaded into each service by NODE_OPTIONS: collects garbage at SIGUSR2, so that its memory is what it holds, not what it has yet to free.
const { setFlagsFromString } = require("node:v8");
const { runInNewContext } = require("node:vm");

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
process.on("SIGUSR2", () => {
  collect();
  collect();
});
