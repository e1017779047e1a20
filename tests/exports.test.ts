import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../shared/process/root";
import { unusedExports } from "./exports";

it("another file names every export", () => expect(unusedExports(packageRoot())).toEqual([]));

it("an export that no other file names is found", () => {
  const root = mkdtempSync(join(tmpdir(), "exports-"));
  try {
    const files = {
      "tsconfig.json": JSON.stringify({ compilerOptions: { module: "node20" }, include: ["a"] }),
      "a/one.ts": "export interface Own {}\nexport function used(own: Own) {}\nexport const late = 1;\nused({});\n",
      "a/two.ts":
        'import { used as other } from "./one";\nexport { late, used } from "./one";\nother({});\nexport const own = 2;\n',
      "a/three.ts":
        'void (async () => {\n  const { late: early } = await import("./two.js");\n  return early;\n})();\n',
    };
    mkdirSync(join(root, "a"));
    for (const [file, text] of Object.entries(files)) writeFileSync(join(root, file), text);
    expect(unusedExports(root)).toEqual(["a/one.ts: Own", "a/two.ts: used", "a/two.ts: own"]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
