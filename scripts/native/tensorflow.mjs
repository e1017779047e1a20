// npm run tensorflow:install [-- --gpu]
// Builds the binding of @tensorflow/tfjs-node-gpu against libtensorflow out of a Python wheel, into native/tensorflow. node_modules stays as
// it is, so `npm ci` does not undo it.
import { spawnSync } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { command, fetchWheel, output, pins, Refusal, root, say, version } from "./install.mjs";

const { gpu } = parseArgs({ options: { gpu: { type: "boolean", default: false } } }).values;
const wheel = gpu ? pins.tensorflow.gpu : pins.tensorflow.cpu;
const source = "node_modules/@tensorflow/tfjs-node-gpu";
const compiler = process.env.CXX || "g++";
const headers = join(dirname(dirname(process.execPath)), "include", "node");
// An N-API addon runs on every Node from the one that has this version on.
const napi = 8;

const COMPILED = "/(libtensorflow_cc|libtensorflow_framework)\\.so\\.2$";
const INCLUDED =
  "/include/(tensorflow/c/|tensorflow/core/platform/ctstring|tensorflow/tsl/|tensorflow/compiler/xla/tsl/)";

function lacks() {
  return [
    ...(existsSync(join(root, source, "binding")) ? [] : [`${source} is missing: npm ci --include=optional`]),
    ...(spawnSync(compiler, ["--version"], { stdio: "ignore" }).status === 0
      ? []
      : [`the C++ compiler ${compiler} is missing (Debian: g++), or set CXX`]),
    ...(existsSync(join(headers, "node_api.h"))
      ? []
      : [
          `Node's headers are missing in ${headers}: take a Node that has them, as its archives and images do (Debian: libnode-dev)`,
        ]),
  ];
}

/** Compiles the binding. It finds the libraries relative to itself. */
function compile(folder) {
  const from = join(root, source, "binding");
  const addon = join(folder, "tfjs_binding.node");
  const flags = ["-O2", "-std=c++17", "-fPIC", "-shared", "-fno-exceptions", "-w", `-DNAPI_VERSION=${napi}`];
  const include = [headers, join(folder, "tensorflow", "include"), dirname(from)].map((path) => `-I${path}`);
  const sources = ["tfjs_backend.cc", "tfjs_binding.cc"].map((file) => join(from, file));
  const link = ["-L" + folder, "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", "-Wl,-rpath,$ORIGIN"];
  output(compiler, [...flags, ...include, ...sources, "-o", addon, ...link]);
  return addon;
}

await command(
  {
    name: "tensorflow",
    wheels: [wheel],
    made: { binding: existsSync(join(root, source)) ? version(source) : "" },
    lacks: lacks(),
    compileSeconds: 30,
  },
  async (folder) => {
    await fetchWheel(wheel, folder, `${COMPILED}|${INCLUDED}`);
    for (const library of ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"])
      renameSync(join(folder, "tensorflow", library), join(folder, library));
    say("compiles the binding");
    const addon = compile(folder);
    rmSync(join(folder, "tensorflow"), { recursive: true });
    const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: "3" };
    const loaded = output(process.execPath, ["-p", "require(process.argv[1]).TF_Version", addon], { env }).trim();
    if (loaded !== wheel.version) throw new Refusal(`the binding loads TensorFlow ${loaded}, must be ${wheel.version}`);
  },
);
