const { existsSync, readFileSync, statSync } = require("node:fs");
const { dirname, join } = require("node:path");

/*
 * Jest's filter behind `npm run test:unit`. A unit test starts no process, no thread and no NATS: neither it nor anything that it
 * imports, however indirectly, imports one of these modules. Type imports do not count, because nothing is loaded by them.
 */
const STARTERS = new Set(["child_process", "worker_threads", "cluster", "nats"]);

const IMPORT =
  /^\s*(?:import|export)\s+(?!type\b)(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']|\b(?:import|require)\(\s*["']([^"']+)["']\s*\)/gm;

/** The chain of imports from a file to a module that starts processes; undefined where there is none. */
function startingChain(file, seen = new Map()) {
  if (seen.has(file)) return seen.get(file);
  // A circle of imports ends here: the file that it began with finds what it reaches.
  seen.set(file, undefined);
  for (const [, imported, called] of readFileSync(file, "utf8").matchAll(IMPORT)) {
    const name = imported ?? called;
    const chain = name.startsWith(".") ? chainOf(join(dirname(file), name), seen) : starter(name);
    if (chain) {
      seen.set(file, [file, ...chain]);
      break;
    }
  }
  return seen.get(file);
}

function chainOf(path, seen) {
  const file = [`${path}.ts`, `${path}.js`, path].find((name) => existsSync(name) && statSync(name).isFile());
  return file && startingChain(file, seen);
}

function starter(name) {
  const bare = name.replace(/^node:/, "");
  return STARTERS.has(bare) ? [bare] : undefined;
}

module.exports = (tests) => ({ filtered: tests.filter((test) => !startingChain(test)) });
module.exports.startingChain = startingChain;
