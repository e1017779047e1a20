import { join, relative } from "node:path";
import ts from "typescript";

/** Exports below `root` that no other file of its program names, as "file: name". */
export function unusedExports(root: string): string[] {
  const { options, fileNames } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, "tsconfig.json"), (file) => ts.sys.readFile(file)).config,
    ts.sys,
    root,
  );
  const program = ts.createProgram(fileNames, { ...options, noLib: true, types: [] }, withoutPackages(options));
  const checker = program.getTypeChecker();
  const files = program
    .getSourceFiles()
    .filter(({ fileName }) => fileNames.includes(fileName) && !fileName.includes("/shared/proto/"));

  const used = new Set<ts.Symbol>();
  for (const file of files) {
    const visit = (node: ts.Node): void => {
      for (const named of namedBy(checker, node)) {
        // Each file between an import and the declaration that re-exports the name counts as used.
        for (let symbol: ts.Symbol | undefined = named; symbol;) {
          if (symbol.declarations?.some((declaration) => declaration.getSourceFile() !== file)) used.add(symbol);
          symbol = symbol.flags & ts.SymbolFlags.Alias ? checker.getImmediateAliasedSymbol(symbol) : undefined;
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }

  return files.flatMap((file) => {
    const module = checker.getSymbolAtLocation(file);
    const exported = module ? checker.getExportsOfModule(module) : [];
    return exported
      .filter((symbol) => !used.has(symbol))
      .map(({ name }) => `${relative(root, file.fileName)}: ${name}`);
  });
}

/** Finds the files of a program and none of a package: reading their types would take most of the time. */
function withoutPackages(options: ts.CompilerOptions): ts.CompilerHost {
  const host = ts.createCompilerHost(options);
  host.resolveModuleNameLiterals = (literals, importer, _redirected, { impliedNodeFormat: _, ...rest }) =>
    literals.map((literal) =>
      literal.text.startsWith(".")
        ? ts.resolveModuleName(literal.text, importer, { ...options, ...rest }, host)
        : { resolvedModule: undefined },
    );
  return host;
}

/** The exports of another file that a node names: by an import or export, as a member of an imported file, or as the type of one. */
function namedBy(checker: ts.TypeChecker, node: ts.Node): readonly ts.Symbol[] {
  if (ts.isImportSpecifier(node) || ts.isExportSpecifier(node) || ts.isImportClause(node)) {
    const symbol = node.name && checker.getSymbolAtLocation(node.name);
    return symbol ? [symbol] : [];
  }
  if (ts.isPropertyAccessExpression(node) || ts.isQualifiedName(node)) {
    const [file, member] = ts.isQualifiedName(node) ? [node.left, node.right] : [node.expression, node.name];
    const symbol = ts.isIdentifier(file) ? checker.getSymbolAtLocation(file) : undefined;
    if (!symbol || !(symbol.flags & ts.SymbolFlags.Alias)) return [];
    return exportsOf(checker, checker.getAliasedSymbol(symbol), [member.text]);
  }
  const path = pathOf(node);
  const symbol = path && checker.getSymbolAtLocation(path);
  return symbol ? exportsOf(checker, symbol, namesTaken(node)) : [];
}

/** The exports of a file, or those of some names. */
function exportsOf(checker: ts.TypeChecker, file: ts.Symbol, names?: readonly string[]): readonly ts.Symbol[] {
  if (!(file.flags & ts.SymbolFlags.ValueModule)) return [];
  const all = checker.getExportsOfModule(file);
  return names ? all.filter(({ name }) => names.includes(name)) : all;
}

/** The path in `import("./file")`, as a call and as a type. */
function pathOf(node: ts.Node): ts.Node | undefined {
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  return ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
    ? node.arguments[0]
    : undefined;
}

/** The names that are taken from `import("./file")`, as in `const { name } = await import("./file")`; undefined where it is taken whole. */
function namesTaken(node: ts.Node): readonly string[] | undefined {
  if (ts.isImportTypeNode(node) && node.qualifier) return [node.qualifier.getText().split(".")[0]!];
  let outer = node.parent;
  while (ts.isAwaitExpression(outer) || ts.isParenthesizedExpression(outer) || ts.isAsExpression(outer))
    outer = outer.parent;
  if (ts.isPropertyAccessExpression(outer)) return [outer.name.text];
  if (!ts.isVariableDeclaration(outer) || !ts.isObjectBindingPattern(outer.name)) return undefined;
  return outer.name.elements.map(({ propertyName, name }) => (propertyName ?? name).getText());
}
