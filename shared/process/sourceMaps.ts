import { sep } from "node:path";

/*
 * Imported before everything else by a process that loads TF.js. From then on Node reads the source maps of Lathe's files only: those of
 * TF.js have 16 MB, and reading them takes a quarter of the CPU time in which a training process loads its modules.
 */
const load = require.extensions[".js"];
require.extensions[".js"] = (module, path) => {
  process.setSourceMapsEnabled(!path.includes(`${sep}node_modules${sep}`));
  try {
    load(module, path);
  } finally {
    process.setSourceMapsEnabled(true);
  }
};
