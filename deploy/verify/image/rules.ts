import { execForm, type Dockerfile, type Instruction, type Stage } from "./dockerfile";

interface Context {
  file: Dockerfile;
  /** Whether a path of the build context is there. */
  exists: (path: string) => boolean;
}

interface Rule {
  name: string;
  faults: (context: Context) => string[];
}

const at = ({ line }: { line: number }, fault: string) => `line ${line}: ${fault}`;
const named = (stage: Stage, ...names: string[]) => stage.instructions.filter(({ name }) => names.includes(name));

/** Images that somebody runs: stages that say what runs. */
const images = ({ stages }: Dockerfile) => stages.filter((stage) => named(stage, "CMD", "ENTRYPOINT").length > 0);

const ofInstructions = (
  name: string,
  fault: (instruction: Instruction, stage: Stage, context: Context) => string | undefined,
): Rule => ({
  name,
  faults: (context) =>
    context.file.stages.flatMap((stage) =>
      stage.instructions.flatMap((one) => {
        const found = fault(one, stage, context);
        return found === undefined ? [] : [at(one, found)];
      }),
    ),
});

const ofImages = (name: string, fault: (stage: Stage) => string | undefined): Rule => ({
  name,
  faults: ({ file }) =>
    images(file).flatMap((stage) => {
      const found = fault(stage);
      return found === undefined ? [] : [at(stage, `image ${stage.name} ${found}`)];
    }),
});

const SECRET = /(password|passwd|secret|token|credential|api_?key|private_?key)/i;
const last = (stage: Stage, name: string) => named(stage, name).at(-1)?.rest;

export const DOCKERFILE_RULES: readonly Rule[] = [
  {
    name: "bases are stages or images of a version",
    faults: ({ file: { stages } }) =>
      stages.flatMap((stage, index) => {
        if (stages.slice(0, index).some(({ name }) => name === stage.base)) return [];
        const tag = /@sha256:[0-9a-f]{64}$/.test(stage.base) ? "digest" : /:([^:/]+)$/.exec(stage.base)?.[1];
        const pinned = tag !== undefined && tag !== "latest" && /\d+\.\d+|digest/.test(tag);
        return pinned ? [] : [at(stage, `base ${stage.base} has no version`)];
      }),
  },
  ofInstructions("no ADD: COPY says what comes from where", ({ name }) => (name === "ADD" ? "ADD" : undefined)),
  ofInstructions(
    "COPY takes what is there, from stages before it",
    ({ name, flags, rest }, stage, { file, exists }) => {
      if (name !== "COPY") return undefined;
      const words = rest.split(/\s+/);
      if (flags.from !== undefined) {
        const before = file.stages.slice(0, file.stages.indexOf(stage));
        return before.some((other) => other.name === flags.from)
          ? undefined
          : `COPY from ${flags.from}, which is no stage before`;
      }
      const missing = words.slice(0, -1).filter((path) => !exists(path));
      return missing.length === 0 ? undefined : `COPY of ${missing.join(", ")}, which is not there`;
    },
  ),
  ofInstructions("nothing is copied whole", ({ name, flags, rest }) =>
    name === "COPY" && flags.from === undefined && /^\.\/?\s/.test(rest) ? "COPY of the whole context" : undefined,
  ),
  ofInstructions("WORKDIR is absolute", ({ name, rest }) =>
    name === "WORKDIR" && !rest.startsWith("/") ? `WORKDIR ${rest}` : undefined,
  ),
  ofInstructions("no secret in ENV or ARG", ({ name, rest }) =>
    ["ENV", "ARG"].includes(name) && SECRET.test(rest) ? `${name} ${rest.split("=")[0]}` : undefined,
  ),
  ofInstructions("apt installs what is asked for alone, without questions, and leaves no lists", ({ name, rest }) => {
    if (name !== "RUN" || !/apt-get\s+install|apt\s+install/.test(rest)) return undefined;
    const missing = [
      ...(/\bapt\s/.test(rest) ? ["apt-get instead of apt"] : []),
      ...(rest.includes("apt-get update") ? [] : ["apt-get update in the same RUN"]),
      ...(/\s-y\b|\s-\w*y\b/.test(rest) ? [] : ["-y"]),
      ...(rest.includes("--no-install-recommends") ? [] : ["--no-install-recommends"]),
      ...(rest.includes("rm -rf /var/lib/apt/lists/*") ? [] : ["the lists removed"]),
    ];
    return missing.length === 0 ? undefined : `apt without ${missing.join(", ")}`;
  }),
  ofInstructions("npm installs what the lock says", ({ name, rest }) =>
    name === "RUN" && /\bnpm (install|i|update)\b/.test(rest) ? "npm install instead of npm ci" : undefined,
  ),
  ofInstructions("nothing is fetched past a package manager, or run as root by sudo", ({ name, rest }) =>
    name === "RUN" && /\b(curl|wget|sudo)\b/.test(rest) ? `RUN ${/\b(curl|wget|sudo)\b/.exec(rest)?.[1]}` : undefined,
  ),
  ofInstructions("CMD and ENTRYPOINT in exec form, so that signals arrive", ({ name, rest }) =>
    ["CMD", "ENTRYPOINT"].includes(name) && execForm(rest) === undefined ? `${name} in shell form` : undefined,
  ),
  ofImages("an image runs node itself", (stage) =>
    execForm(last(stage, "ENTRYPOINT") ?? "")?.[0] === "node" ? undefined : "does not start node",
  ),
  ofImages("an image runs as a user by number, not root", (stage) => {
    const [user, group] = (last(stage, "USER") ?? "0").split(":").map(Number);
    return user! > 0 && group! > 0 ? undefined : `runs as ${last(stage, "USER") ?? "root"}`;
  }),
  ofImages("an image tells its health, in exec form", (stage) => {
    const health = last(stage, "HEALTHCHECK");
    if (health === undefined) return "has no HEALTHCHECK";
    return execForm(health.replace(/^CMD\s+/, "")) ? undefined : "has a HEALTHCHECK in shell form";
  }),
  ofImages("nothing is changed after USER but by who runs it", (stage) => {
    const from = stage.instructions.findIndex(({ name }) => name === "USER");
    const after = stage.instructions.slice(from + 1).find(({ name }) => ["RUN", "COPY", "ADD"].includes(name));
    return after ? `has ${after.name} after USER` : undefined;
  }),
  {
    name: "the last image is the one that is built unless another is asked for: cpu",
    faults: ({ file }) => (file.stages.at(-1)?.name === "cpu" ? [] : [`the last stage is ${file.stages.at(-1)?.name}`]),
  },
];

/** What a Dockerfile breaks, a line each. */
export const lintDockerfile = (file: Dockerfile, exists: (path: string) => boolean): string[] =>
  DOCKERFILE_RULES.flatMap((rule) => rule.faults({ file, exists }));
