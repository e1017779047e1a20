import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/root";
import { documented, readDocument, userMessages } from "./document";

it("docs/troubleshooting.md explains every reason and lists the messages of the code (npm run messages)", () => {
  const text = readDocument(packageRoot());
  expect(documented(text, userMessages(packageRoot()))).toEqual({ text, missing: [], idle: [] });
});

it("a reason without messages and a reason without an explanation are found", () => {
  const messages = new Map([["NEW", ["it is new"]]]);
  const text = "# All\n\n### OLD\n\n- `it is old`\n\nDo this.\n";
  expect(documented(text, messages)).toEqual({
    text: "# All\n\n### OLD\n\nDo this.\n",
    missing: ["NEW"],
    idle: ["OLD"],
  });
});

describe("the messages of a source", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "messages-"));
    for (const folder of ["cli", "services", "shared/spec"]) mkdirSync(join(root, folder), { recursive: true });
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it.each([
    ["a text", 'new LatheError("NOT_FOUND", "no such thing")', { NOT_FOUND: ["no such thing"] }],
    [
      "a text with values, and the reason in the details",
      'new LatheError("NOT_FOUND", `${path} line ${line.number} is "${clip(entry)}"`, { reason: "LINE" })',
      { LINE: ['<path> line <number> is "<entry>"'] },
    ],
    [
      "each of two texts",
      'new LatheError("ABORTED", `it is ${open ? "open" : "shut"}`)',
      { ABORTED: ["it is open", "it is shut"] },
    ],
    ["a sum", 'new LatheError("ABORTED", "one " + `two ${three}`)', { ABORTED: ["one two <three>"] }],
    [
      "a constant",
      'function f(n: number) { const why = `is ${n}`; throw new LatheError("ABORTED", `it ${why}`); }',
      { ABORTED: ["it is <n>"] },
    ],
    [
      "the violation of a field",
      'violations.push({ field: "a.b", description: `is ${value}, must be 1` })',
      { FIELD: ["is <value>, must be 1"] },
    ],
    [
      "a function that hands its parameter on",
      'const bad = (file: string, why: string) => new LatheError("ABORTED", why, { reason: "BAD" });\nbad("f", "it is bad");',
      { BAD: ["it is bad"] },
    ],
    ["a fault of Lathe, which is left out", 'new LatheError("INTERNAL", "cannot be")', {}],
    ["the text of another error, which is left out", 'new LatheError("ABORTED", `${error.message}`)', { ABORTED: [] }],
  ])("%s", (_, source, expected) => {
    writeFileSync(join(root, "cli", "a.ts"), source);
    expect(Object.fromEntries(userMessages(root))).toEqual(expected);
  });

  it("are those of the callers in other files, but not of functions of the same name there", () => {
    const maker = 'export const bad = (why: string) => new LatheError("ABORTED", why, { reason: "BAD" });';
    writeFileSync(join(root, "shared", "spec", "bad.ts"), maker);
    writeFileSync(join(root, "cli", "a.ts"), 'import { bad } from "../shared/spec/bad";\nbad("it is bad");');
    writeFileSync(join(root, "cli", "b.ts"), 'const bad = (word: string) => word;\nbad("it is something else");');
    writeFileSync(join(root, "cli", "c.test.ts"), 'bad("it is a test");');
    expect(Object.fromEntries(userMessages(root))).toEqual({ BAD: ["it is bad"] });
  });
});
