/** One comparison: what was derived again, from what, and where it differs from what the folder says. */
export interface Comparison {
  name: string;
  from: string;
  /** Empty where it is identical. */
  differences: string[];
}

/** Doubles of two processors may differ in their last digits, because they take logarithms and exponentials. */
const RELATIVE = 1e-9;

/** Where two values differ, as "path is X, derived Y". Fields that are undefined are as good as missing. */
export function differences(found: unknown, derived: unknown, path = ""): string[] {
  if (typeof found === "number" && typeof derived === "number" && near(found, derived)) return [];
  if (isObject(found) && isObject(derived)) {
    const keys = new Set([...Object.keys(found), ...Object.keys(derived)]);
    return [...keys].flatMap((key) =>
      differences(
        found[key],
        derived[key],
        Array.isArray(found) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`,
      ),
    );
  }
  return found === derived ? [] : [`${path} is ${shown(found)}, derived ${shown(derived)}`];
}

const near = (a: number, b: number) =>
  Object.is(a, b) || Math.abs(a - b) <= RELATIVE * Math.max(1, Math.abs(a), Math.abs(b));

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "not there";
  return text.length <= 120 ? text : `${text.slice(0, 120)}...`;
}
