import { join, relative } from "node:path";
import ts from "typescript";

/** Exports below `root` that no other file of its program names, as "file: name". */
export function unusedExports(root: string): string[] {
  const { options, fileNames } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, "tsconfig.json"), (file) => ts.sys.readFile(file)).config,
    ts.sys,
    root,
  );
  const program = ts.createProgram(fileNames, options);
  const checker = program.getTypeChecker();
  const files = program
    .getSourceFiles()
    .filter(({ fileName }) => fileNames.includes(fileName) && !fileName.includes("/shared/proto/"));

  const used = new Set<ts.Symbol>();
  for (const file of files) {
    const visit = (node: ts.Node): void => {
      let symbol = ts.isIdentifier(node) ? named(checker, node) : undefined;
      // Each file between an import and the declaration that re-exports the name counts as used.
      while (symbol) {
        if (symbol.declarations?.some((declaration) => declaration.getSourceFile() !== file)) used.add(symbol);
        symbol = symbol.flags & ts.SymbolFlags.Alias ? checker.getImmediateAliasedSymbol(symbol) : undefined;
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

/** The symbol of an identifier; in `const { a } = await import("./file")` the `a` of the file. */
function named(checker: ts.TypeChecker, node: ts.Identifier): ts.Symbol | undefined {
  const { parent } = node;
  if (!ts.isBindingElement(parent)) return checker.getSymbolAtLocation(node);
  const { text } = parent.propertyName && ts.isIdentifier(parent.propertyName) ? parent.propertyName : node;
  return checker.getTypeAtLocation(parent.parent).getProperty(text);
}
