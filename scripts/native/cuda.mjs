// npm run cuda:install [-- --provider-only]
// Puts ONNX Runtime's CUDA provider and NVIDIA's libraries into native/cuda, where processes that compute look for them
// (shared/engine/native.ts). --provider-only leaves NVIDIA's libraries out, for a system that has those of this CUDA.
// Compiles the addon through which the provider gets its options (cuda.c), where it finds a C compiler.
import { lstatSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { command, fetchWheel, output, pins, Refusal, root, say, version } from "./install.mjs";

const { cuda, nvidia, provider } = pins;
const options = { "provider-only": { type: "boolean", default: false } };
const { "provider-only": alone } = parseArgs({ options }).values;
const runtime = "node_modules/onnxruntime-node";
const wheels = [provider, ...(alone ? [] : nvidia)];

/** libnvblas replaces a BLAS of the CPU, and the .alt libraries are second builds; neither is loaded. */
const LIBRARIES =
  "(libonnxruntime_providers_(cuda|shared|tensorrt)\\.so|/lib/lib(?!nvblas)[^/]*(?<!\\.alt)\\.so\\.[0-9.]+)$";
const BUILD = "onnxruntime/capi/build_and_package_info\\.py$";

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Compiles the addon into a folder. Without it the provider works, with other options. */
function compileAddon(folder) {
  const addon = join(folder, "lathe.node");
  const made = join(folder, ".made.node");
  const source = join(root, "scripts", "native", "cuda.c");
  // It finds NVIDIA's libraries beside itself, too.
  const flags = ["-O2", "-shared", "-fPIC", "-Wl,-rpath,$ORIGIN"];
  rmSync(addon, { force: true });
  try {
    output(process.env.CC || "cc", [...flags, source, "-o", made, "-ldl"]);
    output(process.execPath, ["-e", "require(process.argv[1])", made]);
    renameSync(made, addon);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    rmSync(made, { force: true });
    const why = `${error.message.replaceAll("\n", " ")} (Debian: gcc, libc6-dev; or set CC)`;
    say(`${why}: the CUDA provider works, but takes more memory, and its runs differ (docs/engine.md, On a GPU)`);
  }
}

const made = { runtime: version(runtime) };
await command({ name: "cuda", wheels, made, finish: compileAddon }, async (folder) => {
  const npms = version(runtime);
  if (npms !== provider.version)
    throw new Refusal(
      `onnxruntime-node is ${npms}, and the provider is pinned to ${provider.version}: they must agree`,
    );
  for (const wheel of wheels) await fetchWheel(wheel, folder, `${LIBRARIES}|${BUILD}`);
  for (const path of filesBelow(folder)) {
    if (!path.endsWith(".py")) renameSync(path, join(folder, basename(path)));
    else {
      const [, built] = /cuda_version = '([\d.]+)'/.exec(readFileSync(path, "utf8")) ?? [];
      if (built !== cuda)
        throw new Refusal(`the provider was built for CUDA ${built}, and the libraries are pinned for ${cuda}`);
    }
  }
  for (const name of readdirSync(folder))
    if (lstatSync(join(folder, name)).isDirectory()) rmSync(join(folder, name), { recursive: true });
  // ONNX Runtime looks for providers beside the path by which it was itself found.
  const library = join(root, runtime, "bin", "napi-v6", "linux", "x64", "libonnxruntime.so.1");
  symlinkSync(relative(folder, library), join(folder, "libonnxruntime.so.1"));
});
