import { LatheError } from "../shared/process/errors";
import { LEFT_OUT, openPyTorch, type Mode, type PyTorch } from "./pytorch";

/** How PyTorch computes on a CPU. All but bfloat16 are float32, of which the fastest is the one to beat. */
const FORMS: Readonly<Record<string, Mode>> = {
  eager: { device: "cpu", precision: "float32", layout: "contiguous", compiled: false, frozen: false },
  channels_last: { device: "cpu", precision: "float32", layout: "channels_last", compiled: false, frozen: true },
  compiled: { device: "cpu", precision: "float32", layout: "channels_last", compiled: true, frozen: true },
  bfloat16: { device: "cpu", precision: "bfloat16", layout: "channels_last", compiled: false, frozen: true },
};

/** INVALID_ARGUMENT for a name of --form that is no form. */
export function requireForms(names: readonly string[]): void {
  const unknown = names.find((name) => !Object.hasOwn(FORMS, name));
  if (unknown !== undefined)
    throw new LatheError("INVALID_ARGUMENT", `--form is "${unknown}", must be one of ${Object.keys(FORMS).join(", ")}`);
}

export const isFloat32 = (form: string): boolean => FORMS[form]?.precision === "float32";

/** A form of PyTorch that this machine has, in a process of its own, and what it answered to its first step. */
interface Form<First> {
  name: string;
  python: PyTorch;
  first: First;
}

export interface Forms<First> {
  forms: Form<First>[];
  /** Why forms are left out, for the notes of a measurement. */
  notes: Record<string, string>;
  versions: Record<string, string> | undefined;
  close(): Promise<void>;
}

/**
 * Opens forms of PyTorch, by default all. `begin` builds the network and takes a step: a form that fails there is left out, because compilation needs
 * PyTorch 2 and a compiler, and bfloat16 kernels that not all versions have.
 */
export async function openForms<First>(
  threads: number,
  begin: (python: PyTorch, mode: Mode) => Promise<First>,
  names: readonly string[] = Object.keys(FORMS),
): Promise<Forms<First>> {
  const opened: PyTorch[] = [];
  const forms: Form<First>[] = [];
  const notes: Record<string, string> = {};
  for (const name of names) {
    const mode = FORMS[name];
    if (!mode) continue;
    const python = await openPyTorch(threads);
    if (!python) return { forms, notes: { pytorch: LEFT_OUT }, versions: undefined, close: () => Promise.resolve() };
    opened.push(python);
    try {
      forms.push({ name, python, first: await begin(python, mode) });
    } catch (error) {
      notes[`pytorch ${name}`] = `left out: ${LatheError.from(error).message}`;
    }
  }
  const close = async () => {
    for (const each of opened) await each.close();
  };
  return { forms, notes, versions: opened[0]?.versions, close };
}

/** By round: our time over that of PyTorch's fastest float32 form, and over each form. Empty where there is no other side. */
export function ratiosOver(
  what: string,
  ours: readonly number[],
  others: Readonly<Record<string, readonly number[]>>,
): Record<string, number[]> {
  const float32 = Object.entries(others).filter(([form]) => isFloat32(form));
  if (float32.length === 0) return {};
  const best = ours.map((_, round) => Math.min(...float32.map(([, times]) => times[round] ?? Infinity)));
  const over = (times: readonly number[]) => ours.map((value, round) => value / (times[round] ?? NaN));
  return {
    [`lathe / pytorch's best float32, ${what}`]: over(best),
    ...Object.fromEntries(
      Object.entries(others).map(([form, times]) => [`lathe / pytorch ${form}, ${what}`, over(times)]),
    ),
  };
}
