import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { compiled } from "./compiled";

/** Loads modules, then TF.js by ours, in a process with --enable-source-maps. Returns whether Node has the maps of our module and of TF.js. */
function mapped(before: readonly string[]): boolean[] {
  const ours = join(compiled(), "shared", "engine", "tf.js");
  const script = `
    for (const path of ${JSON.stringify([...before, ours])}) require(path);
    const loaded = [${JSON.stringify(ours)}, require.resolve("@tensorflow/tfjs")];
    const { findSourceMap } = require("node:module");
    console.log(JSON.stringify(loaded.map((path) => findSourceMap(path) !== undefined)));`;
  const answer = execFileSync(process.execPath, ["--enable-source-maps", "-e", script], { encoding: "utf8" });
  return JSON.parse(answer) as boolean[];
}

it("a process that loads TF.js reads the source maps of Lathe's files and not those of libraries", () => {
  expect(mapped([])).toEqual([true, true]);
  expect(mapped([join(compiled(), "shared", "process", "sourceMaps.js")])).toEqual([true, false]);
});
