// Each declaration in the types is documented. `check` runs this program.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const ts = createRequire(import.meta.url)("typescript");
const sources = ["index.d.cts", "testing.d.cts"].map((name) => {
  const file = fileURLToPath(new URL(`../${name}`, import.meta.url));
  return ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
});

const undocumented = [];
function look(source, node, of = "") {
  const name = `${of}${node.name?.getText(source) ?? "constructor"}`;
  const isIndex = ts.isIndexSignatureDeclaration(node);
  // The first form of an overloaded function documents the others.
  const isNamed = node.name !== undefined || ts.isConstructorDeclaration(node);
  if (isNamed && !isIndex && ts.getJSDocCommentsAndTags(node).length === 0) {
    undocumented.push(name);
  }
  for (const member of node.members ?? []) {
    look(source, member, `${name}.`);
  }
}

const seen = new Set();
for (const source of sources) {
  for (const statement of source.statements) {
    const named = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations[0]
      : statement;
    const name = named.name?.getText(source);
    if (name !== undefined && !seen.has(name)) {
      seen.add(name);
      look(source, named);
    }
  }
}
if (seen.size < 20) {
  throw new Error(`only ${seen.size} declarations were found`);
}
if (undocumented.length > 0) {
  console.error(`not documented: ${undocumented.join(", ")}`);
  process.exitCode = 1;
}
