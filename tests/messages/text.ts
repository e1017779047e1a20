import * as ts from "typescript";

/** The texts that an expression can have, with each value that only a run knows as its name in angle brackets. */
export function textsOf(expression: ts.Expression): string[] {
  if (ts.isParenthesizedExpression(expression) || ts.isAsExpression(expression)) return textsOf(expression.expression);
  if (ts.isStringLiteralLike(expression)) return [expression.text];
  if (ts.isConditionalExpression(expression))
    return [...textsOf(expression.whenTrue), ...textsOf(expression.whenFalse)];
  if (ts.isBinaryExpression(expression) && expression.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return joined([textsOf(expression.left), textsOf(expression.right)]);
  if (ts.isTemplateExpression(expression)) {
    const spans = expression.templateSpans.flatMap((span) => [textsOf(span.expression), [span.literal.text]]);
    return joined([[expression.head.text], ...spans]);
  }
  if (ts.isIdentifier(expression)) {
    const value = constantOf(expression);
    if (value) return textsOf(value);
  }
  return [`<${wordsOf(expression)}>`];
}

/** Every sequence of one text of each list. */
function joined(lists: readonly (readonly string[])[]): string[] {
  return lists.reduce<string[]>((texts, list) => texts.flatMap((text) => list.map((next) => text + next)), [""]);
}

/** The value of a constant that is declared in the same file as a text. */
function constantOf(identifier: ts.Identifier): ts.Expression | undefined {
  for (let node: ts.Node = identifier; node; node = node.parent) {
    if (!ts.isBlock(node) && !ts.isSourceFile(node)) continue;
    for (const statement of node.statements) {
      if (!ts.isVariableStatement(statement)) continue;
      for (const { name, initializer } of statement.declarationList.declarations)
        if (initializer && name.getText() === identifier.text) return isText(initializer) ? initializer : undefined;
    }
  }
  return undefined;
}

function isText(expression: ts.Expression): boolean {
  if (ts.isConditionalExpression(expression)) return isText(expression.whenTrue) && isText(expression.whenFalse);
  return ts.isStringLiteralLike(expression) || ts.isTemplateExpression(expression);
}

/** A name for a value: the last name in its expression, in words. */
function wordsOf(expression: ts.Expression): string {
  const names = expression.getText().match(/[A-Za-z]\w*/g) ?? [];
  const name = names.filter((word) => !/^(String|Number|toString|text|join|map|length|clip)$/.test(word)).at(-1);
  if (name === undefined) return "...";
  return name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/_/g, " ")
    .toLowerCase();
}
