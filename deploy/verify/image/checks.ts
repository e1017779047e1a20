import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../../shared/process/root";
import { judged, leftOut, type Check, type Outcome } from "../../../shared/process/checks";
import { buildTarget, sizes, type Build } from "./build";
import { cudaFaults, type CudaPins } from "./cuda";
import { execForm, parseDockerfile } from "./dockerfile";
import { DOCKERFILE_RULES, lintDockerfile } from "./rules";

const root = packageRoot();

/** The checks of deploy/Dockerfile. Its steps run only with `full`, because they install all packages twice. */
export function imageChecks(full: boolean): Check[] {
  const file = parseDockerfile(readFileSync(join(root, "deploy", "Dockerfile"), "utf8"));
  const pins = JSON.parse(readFileSync(join(root, "scripts", "native", "pins.json"), "utf8")) as CudaPins;
  const exists = (path: string) => existsSync(join(root, path));
  return [
    {
      name: "Dockerfile",
      run: () => judged(lintDockerfile(file, exists), `${DOCKERFILE_RULES.length} rules, ${file.stages.length} stages`),
    },
    {
      name: "Dockerfile: CUDA of base images, wheels and provider",
      run: () => judged(cudaFaults(file, pins), `${pins.cuda} in gpu, ${pins.tensorflow.gpu.cuda} in tensorflow`),
    },
    {
      name: "image cpu: its steps run in a clean folder",
      run: () =>
        full ? built() : leftOut("takes minutes and downloads all packages; LATHE_VERIFY=full or --full runs it"),
    },
    {
      name: "images gpu and tensorflow",
      run: () => leftOut("need an image engine and their base images: never built"),
    },
  ];

  async function built(): Promise<Outcome> {
    const folder = mkdtempSync(join(tmpdir(), "lathe-image-"));
    try {
      const build = buildTarget(file, "cpu", root, folder);
      const app = sizes(join(build.root, "app"));
      const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
      const total = (count: "files" | "bytes") => app.reduce((sum, each) => sum + each[count], 0);
      const shown = app.map((each) => `${each.folder} ${each.files} files ${mebibytes(each.bytes)}`).join(", ");
      const stage = file.stages.find(({ name }) => name === "cpu");
      const words = (name: string) => execForm(stage?.instructions.find((one) => one.name === name)?.rest ?? "") ?? [];
      const faults = await started(build, [...words("ENTRYPOINT"), ...words("CMD")]);
      return judged(faults, `starts; ${total("files")} files, ${mebibytes(total("bytes"))}: ${shown}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** Starts the image's command with an invalid setting, which it must reject by name. Until then it has loaded all of its code. */
async function started({ root: image, env, workdir }: Build, [command = "node", ...args]: string[]): Promise<string[]> {
  const child = spawn(command, args, {
    cwd: join(image, workdir),
    env: { PATH: process.env.PATH, ...env, LATHE_NATS_URL: "http://127.0.0.1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = (await once(child, "exit")) as [number | null];
  return code === 2 && said.includes("LATHE_NATS_URL")
    ? []
    : [`does not name the setting that it rejects: exit ${code}, ${said}`];
}
