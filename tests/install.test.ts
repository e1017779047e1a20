import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WHEEL = "stands in for a wheel";
const sha256 = createHash("sha256").update(WHEEL).digest("hex");

/** A repository with the install commands and one small wheel, and a PATH of its own. */
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lathe-install-"));
  cpSync(join(__dirname, "..", "scripts", "native"), join(root, "scripts", "native"), { recursive: true });
  const pins = join(root, "scripts", "native", "pins.json");
  const { provider, ...others } = JSON.parse(readFileSync(pins, "utf8")) as { provider: object };
  writeFileSync(
    pins,
    JSON.stringify({ ...others, provider: { ...provider, sha256, megabytes: 1, unpackedMegabytes: 1 } }),
  );
  mkdirSync(join(root, "node_modules", "onnxruntime-node"), { recursive: true });
  setRuntime("1.30.0");
  mkdirSync(join(root, "bin"));
});
afterEach(() => rmSync(root, { recursive: true }));

const setRuntime = (version: string) =>
  writeFileSync(join(root, "node_modules", "onnxruntime-node", "package.json"), JSON.stringify({ version }));

/** Puts a python3 on the PATH whose pip downloads `wheel`, and whose zipfile extracts a provider built for `cuda`. */
function standIn(wheel: string, cuda = "13.0"): void {
  const script = `#!/bin/sh
case "$*" in
  *download*) while [ "$1" != -d ]; do shift; done; /bin/mkdir -p "$2"; printf '%s' '${wheel}' > "$2/a.whl" ;;
  *pip*|"-c import zipfile") ;;
  -c*) /bin/mkdir -p "$4/onnxruntime/capi"; echo lib > "$4/onnxruntime/capi/libonnxruntime_providers_cuda.so"
    echo "cuda_version = '${cuda}'" > "$4/onnxruntime/capi/build_and_package_info.py" ;;
esac
`;
  writeFileSync(join(root, "bin", "python3"), script, { mode: 0o755 });
}

function install(name: string, ...args: string[]) {
  const path = join(root, "scripts", "native", `${name}.mjs`);
  const env = { PATH: join(root, "bin") };
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { env, encoding: "utf8" });
  return { status, stdout, stderr };
}
const left = () => (existsSync(join(root, "native")) ? readdirSync(join(root, "native")) : []);

const isLinux = process.platform === "linux" && process.arch === "x64";

(isLinux ? describe : describe.skip)("the install commands", () => {
  it("name each thing that is missing in a line of its own, and leave nothing behind", () => {
    const { status, stdout, stderr } = install("tensorflow");
    expect([status, stdout]).toEqual([1, ""]);
    const lines = stderr.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^lathe: python3 is missing: .*python3-pip/);
    expect(stderr).toContain("lathe: node_modules/@tensorflow/tfjs-node-gpu is missing: npm ci");
    expect(stderr).toContain("lathe: the C++ compiler g++ is missing");
    expect(left()).toEqual([]);
  });

  it("put the provider beside a link to ONNX Runtime, say the size first, and do nothing the second time", () => {
    standIn(WHEEL);
    const { status, stdout } = install("cuda", "--provider-only");
    const lines = stdout.split("\n");
    expect([status, lines[0]]).toEqual([0, "native/cuda gets onnxruntime-gpu 1.30.0: downloads 1 MB, keeps 1 MB"]);
    expect(lines[2]).toMatch(/^cc -O2 failed: .* \(Debian: gcc, libc6-dev; or set CC\): the CUDA provider works, but/);
    const folder = join(root, "native", "cuda");
    expect(readdirSync(folder).sort()).toEqual([
      "installed.json",
      "libonnxruntime.so.1",
      "libonnxruntime_providers_cuda.so",
    ]);
    expect(readlinkSync(join(folder, "libonnxruntime.so.1"))).toBe(
      "../../node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1",
    );
    const again = install("cuda", "--provider-only");
    expect([again.status, again.stderr]).toEqual([0, ""]);
    expect(again.stdout.split("\n")[0]).toBe("native/cuda has onnxruntime-gpu 1.30.0 already");
    expect(readdirSync(folder)).toHaveLength(3);
  });

  it.each([
    ["a wheel with another sha256", () => standIn("another"), /^lathe: a\.whl has sha256 \w+, must be \w+/],
    ["a provider of another CUDA", () => standIn(WHEEL, "12.8"), /^lathe: the provider was built for CUDA 12\.8/],
    [
      "another onnxruntime-node",
      () => {
        standIn(WHEEL);
        setRuntime("1.31.0");
      },
      /^lathe: onnxruntime-node is 1\.31\.0, and the provider is pinned to 1\.30\.0/,
    ],
  ])("refuse %s and leave nothing behind", (_what, prepare, line) => {
    prepare();
    const { status, stderr } = install("cuda", "--provider-only");
    expect(status).toBe(1);
    expect(stderr).toMatch(line);
    expect(left()).toEqual([]);
  });
});
