import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, posix, relative } from "node:path";
import * as ts from "typescript";

/*
 * References are found in the text of Markdown files and in the comments of all others. There are four kinds:
 *
 *   1. a Markdown link or image, [text](target): relative to its document. Links to other hosts are not followed.
 *   2. a path that begins with one of the repository's folders, shared/space/size.ts or docs/examples: from the root. A pattern
 *      (with * < { or ending in a hyphen) is no reference.
 *   3. a Markdown file by its name alone, README.md: beside the citing file, or in the root.
 *   4. a TypeScript file by its name alone, size.ts: anywhere in the repository.
 *
 * A reference to a Markdown file may end in #heading, spelled as GitHub does; a link may be a #heading alone.
 */

/** Folders inside the repository with generated or foreign files. */
const SKIPPED = /(^|\/)node_modules\/|^shared\/proto\//;

/** File names in comments that are no files of the repository: files that Lathe writes, and placeholders. */
const NO_REFERENCES = new Set(["report.md", "MODEL_CARD.md", "x.test.ts"]);

/** Beginning of comments by file name extension; TypeScript and JavaScript are parsed instead. */
const COMMENT_MARKS: readonly (readonly [RegExp, string])[] = [
  [/\.(proto|go)$/, "//"],
  [/\.(ya?ml|tpl|py|sh|conf)$|Dockerfile$|^\.ci\/run$|\.npmrc$/, "#"],
];

const LINK = /\[[^\]]*\]\(([^)\s]+)\)/g;

interface Line {
  number: number;
  text: string;
}

/** The broken references in these folders of a root and in the files of the root itself, as "file:line: reference: fault". */
export function brokenReferences(root: string, folders: readonly string[]): string[] {
  const files = filesOf(root, folders);
  const names = new Set(files.map((file) => basename(file)));
  const path = new RegExp(`(?<![\\w./@-])(?:${folders.map(escaped).join("|")})/[\\w./*<{-]+(?:#[\\w-]+)?`, "g");
  return files.flatMap((file) =>
    linesOf(root, file).flatMap(({ number, text: line }) => {
      // Only the target of a link is a reference, its text is not.
      const [links, text] = file.endsWith(".md") ? [line, line.replace(LINK, "")] : ["", line];
      return [
        ...linkFaults(root, file, links),
        ...matches(text, path).flatMap((found) => pathFaults(root, found)),
        ...matches(text, /(?<![\w./-])[\w-]+\.md\b(?:#[\w-]+)?/g).flatMap((found) => documentFaults(root, file, found)),
        ...matches(text, /(?<![\w./*-])[\w-]+(?:\.test)?\.ts\b/g)
          .filter((name) => !names.has(name) && !NO_REFERENCES.has(name))
          .map((name) => `${name}: no file has this name`),
      ].map((fault) => `${file}:${number}: ${fault}`);
    }),
  );
}

function linkFaults(root: string, file: string, text: string): string[] {
  return [...text.matchAll(LINK)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [to = "", heading] = target.split("#");
    const found = to === "" ? file : posix.join(posix.dirname(file), to);
    return targetFaults(root, found, heading).map((fault) => `${target}: ${fault}`);
  });
}

function pathFaults(root: string, found: string): string[] {
  const reference = found.replace(/[./]+$/, "");
  if (/[*<{]|-$/.test(reference)) return [];
  const [to = "", heading] = reference.split("#");
  return targetFaults(root, to, heading).map((fault) => `${reference}: ${fault}`);
}

function documentFaults(root: string, file: string, found: string): string[] {
  const [name = "", heading] = found.split("#");
  if (NO_REFERENCES.has(name)) return [];
  const beside = posix.join(posix.dirname(file), name);
  return targetFaults(root, existsSync(join(root, beside)) ? beside : name, heading).map(
    (fault) => `${found}: ${fault}`,
  );
}

function targetFaults(root: string, to: string, heading: string | undefined): string[] {
  if (!existsSync(join(root, to))) return ["there is no such file"];
  if (heading === undefined || !to.endsWith(".md")) return [];
  return headings(readFileSync(join(root, to), "utf8")).has(heading) ? [] : [`${to} has no heading #${heading}`];
}

/** The anchors that GitHub gives to the headings of a document. */
export function headings(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const { text } of withoutFences(markdown)) {
    const title = /^#{1,6} +(.+?) *$/.exec(text)?.[1];
    if (title === undefined) continue;
    const words = title.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = words.replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let again = 1; anchors.has(unique); again++) unique = `${anchor}-${again}`;
    anchors.add(unique);
  }
  return anchors;
}

function withoutFences(markdown: string): Line[] {
  let fenced = false;
  return numbered(markdown).filter(({ text }) => {
    if (!text.trimStart().startsWith("```")) return !fenced;
    fenced = !fenced;
    return false;
  });
}

/** The lines in which a file may cite others: all lines of a document, the comments of any other file. */
function linesOf(root: string, file: string): Line[] {
  const text = () => readFileSync(join(root, file), "utf8");
  if (file.endsWith(".md")) return numbered(text());
  if (/\.[cm]?[jt]s$/.test(file)) return comments(text());
  const mark = COMMENT_MARKS.find(([name]) => name.test(file))?.[1];
  if (mark === undefined) return [];
  return numbered(text()).flatMap(({ number, text }) => {
    const at = text.startsWith(mark) ? 0 : text.indexOf(` ${mark}`);
    return at < 0 ? [] : [{ number, text: text.slice(at) }];
  });
}

/** The comments of a TypeScript or JavaScript file, line by line. */
function comments(text: string): Line[] {
  const source = ts.createSourceFile("any.ts", text, ts.ScriptTarget.Latest, false);
  const found = new Map<number, Line[]>();
  const take = (ranges: readonly ts.CommentRange[] | undefined): void => {
    for (const { pos, end } of ranges ?? []) {
      const first = source.getLineAndCharacterOfPosition(pos).line;
      found.set(
        pos,
        numbered(text.slice(pos, end)).map((line) => ({ ...line, number: line.number + first })),
      );
    }
  };
  const visit = (node: ts.Node): void => {
    take(ts.getLeadingCommentRanges(text, node.getFullStart()));
    take(ts.getTrailingCommentRanges(text, node.getEnd()));
    for (const child of node.getChildren(source)) visit(child);
  };
  visit(source);
  return [...found.values()].flat();
}

function numbered(text: string): Line[] {
  return text.split("\n").map((line, index) => ({ number: index + 1, text: line }));
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([found]) => found);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Files of a root and of its folders, as paths relative to it with forward slashes. Symbolic links are not followed. */
export function filesOf(root: string, folders: readonly string[]): string[] {
  return ["", ...folders]
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: folder !== "", withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .filter((file) => !SKIPPED.test(file));
}
