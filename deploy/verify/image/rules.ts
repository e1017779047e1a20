import { execForm, type Dockerfile, type Instruction, type Stage } from "./dockerfile";

interface Context {
  file: Dockerfile;
  /** Whether a path exists in the build context. */
  exists: (path: string) => boolean;
}

interface Rule {
  name: string;
  faults: (context: Context) => string[];
}

const at = ({ line }: { line: number }, fault: string) => `line ${line}: ${fault}`;
const named = (stage: Stage, ...names: string[]) => stage.instructions.filter(({ name }) => names.includes(name));

/** The stages that have a command to run. */
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
    name: "bases are stages or images with a version",
    faults: ({ file: { stages } }) =>
      stages.flatMap((stage, index) => {
        if (stages.slice(0, index).some(({ name }) => name === stage.base)) return [];
        const tag = /@sha256:[0-9a-f]{64}$/.test(stage.base) ? "digest" : /:([^:/]+)$/.exec(stage.base)?.[1];
        const pinned = tag !== undefined && tag !== "latest" && /\d+\.\d+|digest/.test(tag);
        return pinned ? [] : [at(stage, `base ${stage.base} has no version`)];
      }),
  },
  ofInstructions("no ADD: use COPY", ({ name }) => (name === "ADD" ? "ADD" : undefined)),
  ofInstructions("COPY takes existing paths and earlier stages", ({ name, flags, rest }, stage, { file, exists }) => {
    if (name !== "COPY") return undefined;
    const words = rest.split(/\s+/);
    if (flags.from !== undefined) {
      const before = file.stages.slice(0, file.stages.indexOf(stage));
      return before.some((other) => other.name === flags.from)
        ? undefined
        : `COPY from ${flags.from}, which is not an earlier stage`;
    }
    const missing = words.slice(0, -1).filter((path) => !exists(path));
    return missing.length === 0 ? undefined : `COPY of ${missing.join(", ")}, which does not exist`;
  }),
  ofInstructions("the whole context is never copied", ({ name, flags, rest }) =>
    name === "COPY" && flags.from === undefined && /^\.\/?\s/.test(rest) ? "COPY of the whole context" : undefined,
  ),
  ofInstructions("WORKDIR is absolute", ({ name, rest }) =>
    name === "WORKDIR" && !rest.startsWith("/") ? `WORKDIR ${rest}` : undefined,
  ),
  ofInstructions("no secret in ENV or ARG", ({ name, rest }) =>
    ["ENV", "ARG"].includes(name) && SECRET.test(rest) ? `${name} ${rest.split("=")[0]}` : undefined,
  ),
  ofInstructions(
    "apt-get installs only the named packages, without prompts, and removes its lists",
    ({ name, rest }) => {
      if (name !== "RUN" || !/apt-get\s+install|apt\s+install/.test(rest)) return undefined;
      const missing = [
        ...(/\bapt\s/.test(rest) ? ["apt-get instead of apt"] : []),
        ...(rest.includes("apt-get update") ? [] : ["apt-get update in the same RUN"]),
        ...(/\s-y\b|\s-\w*y\b/.test(rest) ? [] : ["-y"]),
        ...(rest.includes("--no-install-recommends") ? [] : ["--no-install-recommends"]),
        ...(rest.includes("rm -rf /var/lib/apt/lists/*") ? [] : ["the lists removed"]),
      ];
      return missing.length === 0 ? undefined : `apt without ${missing.join(", ")}`;
    },
  ),
  ofInstructions("npm installs from the lock file", ({ name, rest }) =>
    name === "RUN" && /\bnpm (install|i|update)\b/.test(rest) ? "npm install instead of npm ci" : undefined,
  ),
  ofInstructions("no curl, wget or sudo", ({ name, rest }) =>
    name === "RUN" && /\b(curl|wget|sudo)\b/.test(rest) ? `RUN ${/\b(curl|wget|sudo)\b/.exec(rest)?.[1]}` : undefined,
  ),
  ofInstructions("CMD and ENTRYPOINT have exec form, so that signals arrive", ({ name, rest }) =>
    ["CMD", "ENTRYPOINT"].includes(name) && execForm(rest) === undefined ? `${name} in shell form` : undefined,
  ),
  ofImages("images run node directly", (stage) =>
    execForm(last(stage, "ENTRYPOINT") ?? "")?.[0] === "node" ? undefined : "does not start node",
  ),
  ofImages("images run as a numeric user, not root", (stage) => {
    const [user, group] = (last(stage, "USER") ?? "0").split(":").map(Number);
    return user! > 0 && group! > 0 ? undefined : `runs as ${last(stage, "USER") ?? "root"}`;
  }),
  ofImages("images have a HEALTHCHECK in exec form", (stage) => {
    const health = last(stage, "HEALTHCHECK");
    if (health === undefined) return "has no HEALTHCHECK";
    return execForm(health.replace(/^CMD\s+/, "")) ? undefined : "has a HEALTHCHECK in shell form";
  }),
  ofImages("no RUN, COPY or ADD after USER", (stage) => {
    const from = stage.instructions.findIndex(({ name }) => name === "USER");
    const after = stage.instructions.slice(from + 1).find(({ name }) => ["RUN", "COPY", "ADD"].includes(name));
    return after ? `has ${after.name} after USER` : undefined;
  }),
  {
    name: "the last stage, which is built by default, is cpu",
    faults: ({ file }) => (file.stages.at(-1)?.name === "cpu" ? [] : [`the last stage is ${file.stages.at(-1)?.name}`]),
  },
];

/** The faults of a Dockerfile, one per line. */
export const lintDockerfile = (file: Dockerfile, exists: (path: string) => boolean): string[] =>
  DOCKERFILE_RULES.flatMap((rule) => rule.faults({ file, exists }));
