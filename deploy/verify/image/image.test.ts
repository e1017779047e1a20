import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildTarget, sizes } from "./build";
import { cudaFaults, type CudaPins } from "./cuda";
import { expand, pairs, parseDockerfile, stagesOf } from "./dockerfile";
import { DOCKERFILE_RULES, lintDockerfile } from "./rules";

const file = readFileSync(join(__dirname, "..", "..", "Dockerfile"), "utf8");

describe("parsing", () => {
  it("joins lines, drops comments, expands arguments and splits off flags", () => {
    const { stages } = parseDockerfile(
      [
        "ARG A=node:20.1",
        "FROM ${A} AS one",
        "# note",
        "RUN a \\",
        "  # within",
        "  && b",
        "COPY --from=x --chown=1 p q",
      ].join("\n"),
    );
    expect(stages).toEqual([
      {
        name: "one",
        base: "node:20.1",
        line: 2,
        instructions: [
          { name: "RUN", flags: {}, rest: "a && b", line: 4 },
          { name: "COPY", flags: { from: "x", chown: "1" }, rest: "p q", line: 7 },
        ],
      },
    ]);
  });

  it("rejects instructions before the first stage and an unfinished continuation", () => {
    expect(() => parseDockerfile("RUN a")).toThrow("line 1: RUN is before the first FROM");
    expect(() => parseDockerfile("FROM a:1\nRUN a \\")).toThrow("line 2: ends in a continuation");
  });

  it("reads pairs and variables", () => {
    expect(pairs('A=1 B="two words" C')).toEqual({ A: "1", B: "two words", C: "" });
    expect(expand("$A-${B}-${C}", { A: "1", B: "2" })).toBe("1-2-");
  });

  it("finds the stages that an image depends on", () => {
    const names = (target: string) => stagesOf(parseDockerfile(file), target).map(({ name }) => name);
    expect(names("cpu")).toEqual(["build", "dependencies", "files", "cpu"]);
    expect(names("gpu")).toEqual(["build", "dependencies", "dependencies-gpu", "files", "gpu"]);
  });
});

describe("rules", () => {
  const everything = () => true;
  const lint = (text: string, exists: (path: string) => boolean = everything) =>
    lintDockerfile(parseDockerfile(text), exists).join("\n");

  it("the Dockerfile keeps them", () => expect(lint(file)).toBe(""));

  const health = 'HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "health.mjs"]';
  it.each([
    ["bases", "ARG NODE=node:24.21.0-bookworm-slim", "ARG NODE=node:latest", /base node:latest has no version/],
    ["bases", "ARG NODE=node:24.21.0-bookworm-slim", "ARG NODE=node", /base node has no version/],
    ["ADD", "COPY proto proto\nCOPY shared", "ADD proto proto\nCOPY shared", /ADD/],
    ["stages", "--from=dependencies /build/node_modules", "--from=packages /build/node_modules", /COPY from packages/],
    ["context", "COPY bench bench", "COPY . .", /COPY of the whole context/],
    ["WORKDIR", "WORKDIR /app", "WORKDIR app", /WORKDIR app/],
    ["secrets", "ENV NODE_ENV=production\nWORKDIR", "ENV NPM_TOKEN=1\nWORKDIR", /ENV NPM_TOKEN/],
    ["apt", " --no-install-recommends", "", /apt without --no-install-recommends/],
    ["apt", "  && rm -rf /var/lib/apt/lists/*", "  && true", /the lists removed/],
    ["npm", "npm ci --omit=dev", "npm install --omit=dev", /npm install instead of npm ci/],
    ["fetching", "RUN npm run build", "RUN curl -o a b", /RUN curl/],
    ["exec form", 'CMD ["dist/services/search/main.js"]', "CMD dist/services/search/main.js", /CMD in shell form/],
    [
      "node",
      'ENTRYPOINT ["node", "--enable-source-maps", "--max-semi-space-size=4"]',
      'ENTRYPOINT ["npm", "start"]',
      /does not start node/,
    ],
    ["user", "USER 10001:10001", "USER node", /runs as node/],
    ["user", "USER 10001:10001", "USER 0:0", /runs as 0:0/],
    ["health", health, "EXPOSE 1", /has no HEALTHCHECK/],
    ["health", health, "HEALTHCHECK CMD node health.mjs", /HEALTHCHECK in shell form/],
    ["after USER", "EXPOSE 50051 9464", "RUN touch a", /has RUN after USER/],
    ["the last", "AS cpu", "AS main", /the last stage is main/],
  ])("of %s: %p for %p is found", (_, to, from, fault) => {
    expect(file).toContain(to);
    expect(lint(file.replaceAll(to, from))).toMatch(fault);
  });

  it("COPY of a missing path is found", () =>
    expect(lint(file, (path) => path !== "buf.yaml")).toMatch(/COPY of buf.yaml, which does not exist/));

  it("each has a unique name", () =>
    expect(new Set(DOCKERFILE_RULES.map(({ name }) => name)).size).toBe(DOCKERFILE_RULES.length));
});

describe("CUDA of base images, wheels and provider", () => {
  const root = join(__dirname, "..", "..", "..");
  const json = <T>(...path: string[]) => JSON.parse(readFileSync(join(root, ...path), "utf8")) as T;
  const pins = json<CudaPins & { provider: { version: string } }>("scripts", "native", "pins.json");

  it("agrees", () => expect(cudaFaults(parseDockerfile(file), pins)).toEqual([]));

  it.each([
    [
      "ARG CUDA=nvidia/cuda:13.0",
      "ARG CUDA=nvidia/cuda:12.8",
      /^image gpu is based on nvidia\/cuda:12\.8.*CUDA 13\.0$/,
    ],
    ["_OF_TENSORFLOW=nvidia/cuda:11.8", "_OF_TENSORFLOW=nvidia/cuda:13.0", /^image tensorflow .*must have CUDA 11\.8$/],
    ["+cuda13.0", "+cuda12.9", /^TENSORRT is .*\+cuda12\.9, must be for CUDA 13\.0$/],
  ])("does not with %p as %p", (from, to, fault) => {
    expect(file).toContain(from);
    expect(cudaFaults(parseDockerfile(file.replace(from, to)), pins)).toEqual([expect.stringMatching(fault)]);
  });

  it("the provider is of the version of onnxruntime-node", () => {
    const { dependencies } = json<{ dependencies: Record<string, string> }>("package.json");
    expect(pins.provider.version).toBe(dependencies["onnxruntime-node"]);
  });
});

describe("a build without an engine", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "lathe-build-"))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const build = (text: string, target: string) => {
    mkdirSync(join(folder, "context", "sub"), { recursive: true });
    writeFileSync(join(folder, "context", "a.txt"), "a");
    writeFileSync(join(folder, "context", "sub", "b.ts"), "bb");
    writeFileSync(join(folder, "context", "sub", "b.test.ts"), "no");
    return buildTarget(parseDockerfile(text), target, join(folder, "context"), folder);
  };

  it("copies, runs and sets variables like a builder, stage by stage", () => {
    const { root, env, workdir } = build(
      [
        "ARG BASE=debian:12.1",
        "FROM ${BASE} AS one",
        "ENV GREETING=hello",
        "WORKDIR /made",
        "COPY a.txt ./",
        "COPY sub sub",
        'RUN echo "$GREETING" > greeting.txt',
        "FROM one AS two",
        "RUN cp greeting.txt copy.txt",
        "FROM ${BASE} AS unused",
        "RUN false",
        "FROM ${BASE} AS last",
        "ENV NODE_ENV=production",
        "WORKDIR /app",
        "COPY --from=two /made ./",
      ].join("\n"),
      "last",
    );
    expect([env, workdir]).toEqual([{ NODE_ENV: "production" }, "/app"]);
    expect(readFileSync(join(root, "app", "copy.txt"), "utf8")).toBe("hello\n");
    expect(sizes(join(root, "app"))).toEqual([
      { folder: "copy.txt", files: 1, bytes: 6 },
      { folder: "greeting.txt", files: 1, bytes: 6 },
      { folder: "sub", files: 1, bytes: 2 },
      { folder: "a.txt", files: 1, bytes: 1 },
    ]);
  });

  it("stops at a failing step and names its line", () => {
    expect(() => build("FROM a:1.0 AS x\nRUN echo no; exit 3", "x")).toThrow(
      "line 2: echo no; exit 3 ended with 3: no",
    );
    expect(() => build("FROM a:1.0 AS x\nCOPY c.txt ./", "x")).toThrow("line 2: c.txt does not exist");
  });
});
