import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../shared/process/root";

const { startingChain } = jest.requireActual<{ startingChain: (file: string) => string[] | undefined }>("./unit.js");

describe("a unit test", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "unit-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it.each([
    ["itself", 'import { spawn } from "node:child_process";'],
    ["over several lines", 'import {\n  spawn,\n} from "child_process";'],
    ["behind another", 'import { a } from "./b";'],
    ["by exporting it", 'export * from "./b";'],
    ["when it is called", 'const a = await import("node:worker_threads");'],
    ["of NATS", 'import { connect } from "nats";'],
  ])("imports nothing that starts a process, a thread or NATS: %s", (_, text) => {
    writeFileSync(join(folder, "b.ts"), 'import { c } from "./c";\nimport { a } from "./a.test";\n');
    writeFileSync(join(folder, "c.ts"), 'import "nats";\n');
    writeFileSync(join(folder, "a.test.ts"), text);
    expect(startingChain(join(folder, "a.test.ts"))).toBeDefined();
  });

  it("may import types from there, and anything else", () => {
    const text =
      'import type { ChildProcess } from "node:child_process";\nimport { join } from "node:path";\nimport "./b";\n';
    writeFileSync(join(folder, "b.ts"), 'import { a } from "./a.test";\nexport const spawn = "nats";\n');
    writeFileSync(join(folder, "a.test.ts"), text);
    expect(startingChain(join(folder, "a.test.ts"))).toBeUndefined();
  });
});

it.each([
  ["shared/space/size.test.ts", true],
  ["shared/network/plain.test.ts", true],
  ["shared/events/bus.test.ts", false],
  ["tests/search.test.ts", false],
])("%s is a unit test: %s", (file, unit) => {
  expect(startingChain(join(packageRoot(), file)) === undefined).toBe(unit);
});
