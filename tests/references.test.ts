import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packageRoot } from "../shared/process/root";
import { brokenReferences, headings } from "./references";

it("every reference from a comment or a document leads to a file and a heading", () => {
  const { include } = JSON.parse(readFileSync(join(packageRoot(), "tsconfig.json"), "utf8")) as { include: string[] };
  expect(brokenReferences(packageRoot(), [...include, "docs", "helm", "proto", ".ci"])).toEqual([]);
});

describe("a broken reference", () => {
  let root: string;
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "references-"));
    write("README.md", "[docs](docs/method.md#the-losses), [here](#readme), [method.md](docs/method.md)\n\n# Readme\n");
    write("docs/method.md", "# Method\n\n## The `losses`\n\nSee method.md, shared/loss.ts and loss.ts.\n");
    write(
      "shared/loss.ts",
      'export const a = "docs/none.md"; // docs/method.md#the-losses, shared/, shared/*/none.ts\n',
    );
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("is not reported where there is none", () => expect(brokenReferences(root, ["docs", "shared"])).toEqual([]));

  it.each([
    ["docs/a.md", "[text](none.md)", "docs/a.md:1: none.md: there is no such file"],
    ["docs/a.md", "\n[text](method.md#none)", "docs/a.md:2: method.md#none: docs/method.md has no heading #none"],
    ["docs/a.md", "[text](#none)", "docs/a.md:1: #none: docs/a.md has no heading #none"],
    ["docs/a.md", "`shared/none.ts`", "docs/a.md:1: shared/none.ts: there is no such file"],
    ["shared/b.ts", "/**\n * As docs/none.md says. */", "shared/b.ts:2: docs/none.md: there is no such file"],
    ["shared/b.ts", "f(/* none.md */);", "shared/b.ts:1: none.md: there is no such file"],
    ["shared/b.ts", "const x = 1; // none.ts", "shared/b.ts:1: none.ts: no file has this name"],
    [
      "shared/b.ts",
      "// docs/method.md#none",
      "shared/b.ts:1: docs/method.md#none: docs/method.md has no heading #none",
    ],
    ["docs/c.proto", "int32 x = 1; // docs/none.md", "docs/c.proto:1: docs/none.md: there is no such file"],
    ["docs/d.yaml", "# docs/none.md", "docs/d.yaml:1: docs/none.md: there is no such file"],
  ])("is found in %s: %j", (file, text, fault) => {
    write(file, text);
    expect(brokenReferences(root, ["docs", "shared"])).toContain(fault);
  });
});

it("headings have the anchors that GitHub gives them", () => {
  const markdown = "# A `b` (c)\n## What is it?\n```\n# not one\n```\n## What is it?\n### [A link](x.md), two\n";
  expect([...headings(markdown)]).toEqual(["a-b-c", "what-is-it", "what-is-it-1", "a-link-two"]);
});
