import ts from "typescript";

/** A small fault: one place of the program changed, or two. */
export interface Mutant {
  readonly file: string;
  /** What was done and where, so that it is the same after a change elsewhere. */
  readonly name: string;
  readonly changes: readonly Change[];
  /** It is in what the program makes as it is loaded. */
  readonly isOfTable?: true;
}

/** A piece of the program's text and another in its place; of what is an element or a property, none is put there for `""`. */
export interface Change {
  readonly what: "statement" | "element" | "property" | "expression";
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The state table: each row deleted, each of its decisions and conditions another, each row after the next one. */
export function tableMutants(file: string, source: string): Mutant[] {
  const mutants: Mutant[] = [];
  const add = adderOf(file, source, mutants);
  visit(parse(file, source), (node) => {
    if (ts.isArrayLiteralExpression(node) && node.elements.some(isRow)) {
      const rows = node.elements.filter(isRow);
      const decisions = [...new Set(rows.map(({ elements }) => textOf(source, elements[1]!)))];
      for (const [index, row] of rows.entries()) {
        const [when, decision] = row.elements as unknown as [ts.ObjectLiteralExpression, ts.Expression];
        add("no row", row, "");
        const other = decisions[(decisions.indexOf(textOf(source, decision)) + 1) % decisions.length]!;
        add(`${other} instead of`, decision, other, row);
        for (const condition of when.properties as ts.NodeArray<ts.PropertyAssignment>) {
          add("no condition", condition, "", row);
          const value = condition.initializer;
          if (value.kind === ts.SyntaxKind.TrueKeyword) {
            add("false instead of", condition, `${condition.name.getText()}: false`, row);
          }
          if (value.kind === ts.SyntaxKind.FalseKeyword) {
            add("true instead of", condition, `${condition.name.getText()}: true`, row);
          }
          if (ts.isArrayLiteralExpression(value)) {
            for (const element of value.elements) add("no", element, "", row);
          }
        }
        const next = rows[index + 1];
        if (next) mutants.push(swapped(file, source, row, next));
      }
    }
  });
  return mutants.map((mutant) => ({ ...mutant, isOfTable: true }));
}

/** What holds of the facts, the decision, and why. */
const isRow = (node: ts.Node): node is ts.ArrayLiteralExpression =>
  ts.isArrayLiteralExpression(node) && node.elements.length === 3 &&
  ts.isObjectLiteralExpression(node.elements[0]!) && node.elements.slice(1).every(ts.isStringLiteral);

/** Actions: each step and each call left out, neighbours swapped, links for renames, conditions dropped, numbers shifted. */
export function actionMutants(file: string, source: string): Mutant[] {
  const mutants: Mutant[] = [];
  const add = adderOf(file, source, mutants);
  visit(parse(file, source), (node) => {
    if (
      ts.isArrayLiteralExpression(node) && !ts.isAsExpression(node.parent) && enclosing(node) !== undefined
    ) {
      for (const [index, element] of node.elements.entries()) {
        add("no", element, "");
        const next = node.elements[index + 1];
        if (next && ts.isObjectLiteralExpression(element) && ts.isObjectLiteralExpression(next)) {
          mutants.push(swapped(file, source, element, next));
        }
      }
    } else if (ts.isStringLiteral(node) && ["link", "rename"].includes(node.text) && isKind(node)) {
      add(
        node.text === "link" ? "rename instead of" : "link instead of",
        node,
        node.text === "link" ? '"rename"' : '"link"',
        node.parent.parent,
      );
    } else if (ts.isExpressionStatement(node) && isCall(node.expression)) {
      add("no", node, "");
    } else if (ts.isIfStatement(node)) {
      add("never", node.expression, "false");
      add("always", node.expression, "true");
    } else if (
      ts.isReturnStatement(node) && node.expression && isCall(node.expression) && ts.isCaseClause(node.parent)
    ) {
      add("nothing instead of", node, "return;");
    } else if (ts.isConditionalExpression(node)) {
      add("never", node.condition, "false");
      add("always", node.condition, "true");
    } else if (
      ts.isBinaryExpression(node) && isLogical(node.operatorToken.kind) && enclosing(node) !== undefined
    ) {
      add("left alone of", node, textOf(source, node.left));
      add("right alone of", node, textOf(source, node.right));
    } else if (ts.isPropertyAssignment(node) && node.name.getText() === "durable") {
      add(
        "the contrary of",
        node.initializer,
        node.initializer.kind === ts.SyntaxKind.TrueKeyword ? "false" : "true",
        node.parent.parent,
      );
    } else if (
      ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken &&
      node.right.getText() === "1"
    ) {
      add("no + 1 in", node, textOf(source, node.left));
    }
  });
  return mutants;
}

const isKind = ({ parent }: ts.Node) => ts.isPropertyAssignment(parent) && parent.name.getText() === "kind";
const isCall = (node: ts.Expression): boolean =>
  ts.isCallExpression(node) || (ts.isAwaitExpression(node) && isCall(node.expression));
const isLogical = (kind: ts.SyntaxKind) =>
  kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken;

function parse(file: string, source: string): ts.SourceFile {
  return ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  if (ts.isTypeNode(node)) return;
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

function adderOf(file: string, source: string, mutants: Mutant[]) {
  return (verb: string, node: ts.Node, text: string, context: ts.Node = node) => {
    const within = context === node ? "" : ` in ${textOf(source, context)}`;
    const name = nameOf(node, `${verb} ${textOf(source, node)}${within}`);
    mutants.push({ file, name, changes: [change(node, text)] });
  };
}

function swapped(file: string, source: string, one: ts.Node, next: ts.Node): Mutant {
  const [first, second] = [textOf(source, one), textOf(source, next)];
  const name = nameOf(one, `${second} before ${first}`);
  return { file, name, changes: [change(one, second), change(next, first)] };
}

function nameOf(node: ts.Node, what: string): string {
  const where = enclosing(node);
  return `${where ? `${where}: ` : ""}${what}`.replaceAll(/\s+/g, " ");
}

function change(node: ts.Node, text: string): Change {
  const what = ts.isStatement(node)
    ? "statement"
    : ts.isPropertyAssignment(node)
    ? "property"
    : ts.isArrayLiteralExpression(node.parent)
    ? "element"
    : "expression";
  return { what, start: node.getStart(), end: node.getEnd(), text };
}

function textOf(source: string, node: ts.Node): string {
  return source.slice(node.getStart(), node.getEnd());
}

/** Name of the function that something lies in. */
function enclosing(node: ts.Node): string | undefined {
  for (let at: ts.Node | undefined = node.parent; at; at = at.parent) {
    if ((ts.isFunctionDeclaration(at) || ts.isMethodDeclaration(at)) && at.name) return at.name.getText();
  }
  return undefined;
}
