import { spawnSync } from "node:child_process";

/** Whether a python3 has torch. Importing it would read some 300 MB. */
export const hasTorch = ["python3", "/usr/bin/python3"].some(
  (python) =>
    spawnSync(python, ["-c", "import sys, importlib.util as u; sys.exit(u.find_spec('torch') is None)"]).status === 0,
);
