/** Outputs of a command: stdout for results, stderr for progress and errors. */
export const print = (...lines: string[]): void => {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
};

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

export const complain = (...lines: string[]): void => {
  process.stderr.write(lines.map((line) => `${line}\n`).join(""));
};
