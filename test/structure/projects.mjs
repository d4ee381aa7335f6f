// The workspaces of the repository and what their sources import, read from the files themselves.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const rootManifest = readJson('package.json');
/** Tests may use the tools of the whole repository. */
export const developmentDependencies = new Set(Object.keys(rootManifest.devDependencies));

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}

/** Every package, found through the workspaces of package.json. */
export function readProjects() {
  return rootManifest.workspaces
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .filter((directory) => existsSync(join(root, directory, 'package.json')))
    .sort()
    .map((directory) => {
      const manifest = readJson(`${directory}/package.json`);
      const tag = (kind) =>
        manifest.nx?.tags?.find((one) => one.startsWith(`${kind}:`))?.slice(kind.length + 1);
      return {
        directory,
        name: manifest.name,
        floor: Number(tag('floor')),
        kind: tag('kind'),
        /** What others may import: "@gantry/x", and "@gantry/x/config" where the package offers it. */
        entrances: Object.keys(manifest.exports ?? {}).map((path) => manifest.name + path.slice(1)),
        dependencies: Object.keys(manifest.dependencies ?? {}),
        optionalDependencies: Object.keys(manifest.optionalDependencies ?? {}),
        developmentDependencies: Object.keys(manifest.devDependencies ?? {}),
        files: globSync(`${directory}/src/**/*.ts`, { cwd: root }).sort(),
      };
    });
}

/** Tests, and what only tests import. */
export const isTestFile = (file) => /\.test\.ts$|-fixture\.ts$|\/testing\/|\/fixtures?\//.test(file);

/** The imports of one file: static, re-exported, dynamic and in types. */
export function importsOf(file) {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(root, file), 'utf8'),
    ts.ScriptTarget.Latest,
    false,
  );
  const found = [];
  const note = (node, typeOnly, dynamic = false) => {
    if (node !== undefined && ts.isStringLiteralLike(node))
      found.push({ file, specifier: node.text, typeOnly, dynamic });
  };
  const visit = (node) => {
    if (ts.isImportDeclaration(node))
      note(node.moduleSpecifier, isTypeOnly(node.importClause, node.importClause?.namedBindings));
    else if (ts.isExportDeclaration(node)) note(node.moduleSpecifier, isTypeOnly(node, node.exportClause));
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      note(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      note(node.arguments[0], false, true);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isTypeOnly(clause, bindings) {
  if (clause === undefined) return false;
  if (clause.isTypeOnly) return true;
  if (clause.name !== undefined || bindings?.elements === undefined) return false;
  return bindings.elements.length > 0 && bindings.elements.every((element) => element.isTypeOnly);
}

/** "@gantry/bus/src/x.js" → "@gantry/bus"; undefined for Node's own modules and relative paths. */
export function packageOf(specifier) {
  if (specifier.startsWith('.') || specifier.startsWith('node:') || builtinModules.includes(specifier))
    return undefined;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** The file that a relative import names, relative to the repository. */
export function resolveRelative(file, specifier) {
  return relative(root, resolve(root, dirname(file), specifier)).replace(/\.js$/, '.ts');
}

/** The first cycle in a graph given as a map from node to neighbours, as a path that ends where it began. */
export function findCycle(graph) {
  const finished = new Set();
  const path = [];
  const walk = (node) => {
    if (finished.has(node)) return undefined;
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    path.push(node);
    for (const next of graph.get(node) ?? []) {
      const cycle = walk(next);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    finished.add(node);
    return undefined;
  };
  for (const node of graph.keys()) {
    const cycle = walk(node);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
