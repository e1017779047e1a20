import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as ts from "typescript";
import { textsOf } from "./text";

/** A message of an error as the code writes it, with its reason where the code gives one in the same place. */
interface Message {
  readonly text: string;
  /** UPPER_SNAKE_CASE; undefined where the caller of a function decides it. */
  readonly reason: string | undefined;
}

/** A class or a function that takes the message of an error as one of its arguments. */
interface Maker {
  readonly name: string;
  /** The file that declares it; undefined for classes that all files import. */
  readonly file?: string;
  /** Only its own file can call it. */
  readonly isPrivate?: boolean;
  /** Index of the argument that is the message. */
  readonly message: number;
  readonly reason: string | undefined;
}

/** The error class, and the class of the command line's own errors in flags. */
const CLASSES: readonly Maker[] = [
  { name: "LatheError", message: 1, reason: undefined },
  { name: "InvalidArgumentError", message: 0, reason: "FLAG" },
];

/** The reason under which descriptions of single fields stand. */
const FIELD = "FIELD";

/**
 * All messages of errors that the files of a project write. A function that hands one of its parameters on as the message is followed to its
 * callers, by name. A part of a message that only a run knows appears as its name in angle brackets.
 */
export function messagesOf(root: string, files: readonly string[]): Message[] {
  const sources = files.map((file) =>
    ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true),
  );
  const found = new Map<string, Message>();
  const makers = [...CLASSES];
  const take = (argument: ts.Expression, reason: string | undefined): void => {
    const handed = handedOn(argument, reason);
    if (handed === undefined) for (const text of textsOf(argument)) found.set(`${reason} ${text}`, { text, reason });
    else if (!makers.some((maker) => isSame(maker, handed))) makers.push(handed);
  };
  for (const source of sources) for (const description of descriptionsOf(source)) take(description, FIELD);
  // Makers are found on the way, so the list grows.
  for (const maker of makers)
    for (const source of sources)
      for (const call of means(source, maker) ? callsOf(source, maker.name) : []) {
        const argument = call.arguments?.[maker.message];
        if (argument) take(argument, reasonOf(call) ?? maker.reason);
      }
  return [...found.values()];
}

const isSame = (one: Maker, other: Maker): boolean =>
  one.name === other.name && one.file === other.file && one.message === other.message;

/** Whether a call by the maker's name in a file is one of it. */
function means(source: ts.SourceFile, { name, file, isPrivate }: Maker): boolean {
  return file === source.fileName || (isPrivate !== true && !hasOwn(source, name));
}

/** Values of the field `description` of violations. */
function descriptionsOf(source: ts.SourceFile): ts.Expression[] {
  const found: ts.Expression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isObjectLiteralExpression(node)) {
      const named = (name: string) => node.properties.find((property) => property.name?.getText() === name);
      const description = named("description");
      if (named("field") && description)
        if (ts.isPropertyAssignment(description)) found.push(description.initializer);
        else if (ts.isShorthandPropertyAssignment(description)) found.push(description.name);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

type Call = ts.CallExpression | ts.NewExpression;

function callsOf(source: ts.SourceFile, name: string): Call[] {
  const calls: Call[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isCallExpression(node) || ts.isNewExpression(node)) && calledName(node) === name) calls.push(node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return calls;
}

function calledName({ expression }: Call): string | undefined {
  if (ts.isIdentifier(expression)) return expression.text;
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : undefined;
}

/** The reason in the details of an error: `{ reason: "..." }`, or the code of an error without one. */
function reasonOf(call: Call): string | undefined {
  for (const argument of call.arguments ?? []) {
    if (!ts.isObjectLiteralExpression(argument)) continue;
    for (const property of argument.properties)
      if (ts.isPropertyAssignment(property) && property.name.getText() === "reason")
        return ts.isStringLiteralLike(property.initializer) ? property.initializer.text : undefined;
  }
  const [code] = call.arguments ?? [];
  return code && ts.isStringLiteralLike(code) && /^[A-Z_]+$/.test(code.text) ? code.text : undefined;
}

/** The function whose parameter is the message, if the message is one. */
function handedOn(argument: ts.Expression, reason: string | undefined): Maker | undefined {
  if (!ts.isIdentifier(argument)) return undefined;
  for (let node: ts.Node = argument; !ts.isSourceFile(node); node = node.parent) {
    if (!ts.isFunctionLike(node)) continue;
    const message = node.parameters.findIndex(({ name }) => name.getText() === argument.text);
    if (message < 0) continue;
    const name = nameOf(node);
    if (name === undefined) return undefined;
    return { name, file: node.getSourceFile().fileName, isPrivate: isPrivate(node), message, reason };
  }
  return undefined;
}

/** Whether a file declares a function or a value of this name for itself, so that a call in it means no other. */
function hasOwn(source: ts.SourceFile, name: string): boolean {
  const visit = (node: ts.Node): boolean | undefined => {
    const isDeclared =
      (ts.isFunctionDeclaration(node) || ts.isVariableDeclaration(node) || ts.isClassDeclaration(node)) &&
      node.name?.getText() === name;
    return isDeclared || ts.forEachChild(node, visit);
  };
  return visit(source) === true;
}

const isExport = ({ kind }: ts.ModifierLike): boolean => kind === ts.SyntaxKind.ExportKeyword;

/** Whether a function is followed in its own file alone: other files do not import it, or it is a method, whose name others may share. */
function isPrivate(node: ts.SignatureDeclaration): boolean {
  if (ts.isMethodDeclaration(node)) return true;
  for (let at: ts.Node = node; !ts.isSourceFile(at); at = at.parent)
    if (ts.canHaveModifiers(at) && ts.getModifiers(at)?.some(isExport)) return false;
  return true;
}

function nameOf(node: ts.SignatureDeclaration): string | undefined {
  if (ts.isConstructorDeclaration(node)) return node.parent.name?.text;
  if (node.name) return node.name.getText();
  const { parent } = node;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyDeclaration(parent) || ts.isPropertyAssignment(parent))
    return parent.name.getText();
  return undefined;
}
