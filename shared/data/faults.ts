import { LatheError } from "../process/errors";

const PARALLEL_FILES = 4; // the size of libuv's pool: more would only take memory
const FAULTS_TO_NAME = 10;

/** Runs a check for 0..count-1, a few at a time, and returns its faults in the order of the indices. It stops after `most` faults. */
export async function faultsOf(
  count: number,
  check: (index: number) => Promise<unknown>,
  most: number,
): Promise<LatheError[]> {
  const faults: { index: number; error: LatheError }[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count && faults.length < most) {
      const index = next++;
      await check(index).catch((error: unknown) => faults.push({ index, error: LatheError.from(error) }));
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_FILES }, lane));
  return faults.sort((a, b) => a.index - b.index).map(({ error }) => error);
}

/** Runs a check for 0..count-1 and throws what it finds, as requireNone does. It stops after ten faults. */
export async function checkAll(count: number, check: (index: number) => Promise<unknown>): Promise<void> {
  requireNone(await faultsOf(count, check, FAULTS_TO_NAME));
}

/** Throws the first of some faults. Its violations hold ten of them, so that a bad download can be repaired at once. */
export function requireNone(faults: readonly LatheError[]): void {
  const [first] = faults;
  if (first === undefined) return;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more faulty examples)` : "";
  throw new LatheError(first.code, first.message + more, {
    reason: first.reason,
    violations: faults.slice(0, FAULTS_TO_NAME).map(({ message }) => ({ field: "dataset", description: message })),
    cause: first.cause,
  });
}
