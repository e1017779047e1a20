/** One instruction of a Dockerfile: `COPY --from=build /a b` is name COPY, flags { from: "build" }, rest "/a b". */
export interface Instruction {
  name: string;
  flags: Record<string, string>;
  rest: string;
  /** The number of its first line, from 1. */
  line: number;
}

export interface Stage {
  /** Its name, or its number if it has none. */
  name: string;
  /** An image or the name of an earlier stage, with ARGs expanded. */
  base: string;
  line: number;
  instructions: Instruction[];
}

export interface Dockerfile {
  stages: Stage[];
  /** Default values of the ARGs before the first stage. */
  args: Record<string, string>;
}

/** Parses the instructions that this repository's Dockerfile may use: continuation lines and comments, no heredocs. */
export function parseDockerfile(text: string): Dockerfile {
  const args: Record<string, string> = {};
  const stages: Stage[] = [];
  for (const instruction of instructions(text)) {
    const { name, rest, line } = instruction;
    const stage = stages.at(-1);
    if (name === "FROM") {
      const [, base = "", , as] = /^(\S+)(\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
      stages.push({ name: as ?? String(stages.length), base: expand(base, args), line, instructions: [] });
    } else if (stage) stage.instructions.push(instruction);
    else if (name === "ARG") Object.assign(args, pairs(rest));
    else throw new Error(`line ${line}: ${name} is before the first FROM`);
  }
  return { stages, args };
}

function instructions(text: string): Instruction[] {
  const found: Instruction[] = [];
  let open: { text: string; line: number } | undefined;
  text.split("\n").forEach((raw, at) => {
    if (/^\s*(#|$)/.test(raw)) return;
    const goesOn = raw.endsWith("\\");
    const part = goesOn ? raw.slice(0, -1) : raw;
    open = open ? { ...open, text: `${open.text} ${part.trim()}` } : { text: part.trim(), line: at + 1 };
    if (goesOn) return;
    found.push(instruction(open.text, open.line));
    open = undefined;
  });
  if (open) throw new Error(`line ${(open as { line: number }).line}: ends in a continuation`);
  return found;
}

function instruction(text: string, line: number): Instruction {
  const [, name = "", body = ""] = /^(\w+)\s*(.*)$/.exec(text) ?? [];
  const flags: Record<string, string> = {};
  let rest = body;
  for (let flag = /^--([\w-]+)=(\S+)\s*/.exec(rest); flag; flag = /^--([\w-]+)=(\S+)\s*/.exec(rest)) {
    flags[flag[1] ?? ""] = flag[2] ?? "";
    rest = rest.slice(flag[0].length);
  }
  return { name: name.toUpperCase(), flags, rest: rest.trim(), line };
}

/** `A=1 B="two"` as a record; a name alone has an empty value. */
export function pairs(text: string): Record<string, string> {
  const found = [...text.matchAll(/([A-Za-z_]\w*)(?:=("[^"]*"|\S*))?/g)];
  return Object.fromEntries(found.map(([, name = "", value = ""]) => [name, value.replace(/^"|"$/g, "")]));
}

/** Expands ${NAME} and $NAME. Unknown names become empty, as in a builder. */
export function expand(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(
    /\$\{(\w+)\}|\$(\w+)/g,
    (_, braced?: string, bare?: string) => values[braced ?? bare ?? ""] ?? "",
  );
}

/** The words of an instruction in exec form; undefined for shell form. */
export function execForm(rest: string): string[] | undefined {
  if (!rest.startsWith("[")) return undefined;
  try {
    return JSON.parse(rest) as string[];
  } catch {
    // Invalid JSON counts as shell form, which the rules report.
    return undefined;
  }
}

/** The stages that a target depends on, in the order of the file. */
export function stagesOf({ stages }: Dockerfile, target: string): Stage[] {
  const needed = new Set<string>();
  const add = (name: string) => {
    const stage = stages.find((one) => one.name === name);
    if (!stage || needed.has(name)) return;
    needed.add(name);
    add(stage.base);
    for (const { flags } of stage.instructions) if (flags.from !== undefined) add(flags.from);
  };
  add(target);
  return stages.filter(({ name }) => needed.has(name));
}
