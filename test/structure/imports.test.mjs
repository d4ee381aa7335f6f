import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { test } from 'node:test';
import {
  developmentDependencies,
  findCycle,
  importsOf,
  isTestFile,
  packageOf,
  readProjects,
  resolveRelative,
  root,
} from './projects.mjs';

const projects = readProjects();
const byName = new Map(projects.map((project) => [project.name, project]));
const imports = projects.flatMap((project) =>
  project.files.flatMap(importsOf).map((one) => ({ ...one, project })),
);
/** Imports of one of our packages by another. */
const crossings = imports
  .map((one) => ({ ...one, target: byName.get(packageOf(one.specifier)) }))
  .filter(({ target, project }) => target !== undefined && target !== project);

const show = (found, describe) => found.map(describe).join('\n');
const assertNone = (found, describe) => assert.equal(show(found, describe), '');

/** Which kinds a kind may import. Only a composition root knows services; they know each other by messages alone. */
const importable = {
  library: ['library'],
  service: ['library'],
  cli: ['library'],
  demo: ['library', 'demo'],
  test: ['library', 'demo', 'test'],
  root: ['library', 'service'],
};

test('every package says on which floor it stands and of what kind it is', () => {
  assertNone(
    projects.filter(({ floor, kind }) => !Number.isInteger(floor) || importable[kind] === undefined),
    ({ directory }) => `${directory}/package.json lacks the tags floor:N and kind:*, or has an unknown one`,
  );
});

test('imports point down: never to a higher floor, and to the same only among libraries and tests', () => {
  assertNone(
    crossings.filter(({ project, target }) => {
      const isSameAllowed = project.kind === 'library' || project.kind === 'test';
      return target.floor > project.floor || (target.floor === project.floor && !isSameAllowed);
    }),
    ({ file, project, target }) =>
      `${file} (floor ${project.floor}) imports ${target.name} (floor ${target.floor})`,
  );
});

test('no service imports another service, and only a composition root imports services', () => {
  assertNone(
    crossings.filter(({ project, target }) => !importable[project.kind]?.includes(target.kind)),
    ({ file, project, target }) => `${file} (${project.kind}) imports ${target.name} (${target.kind})`,
  );
});

test('a package.json names no package that its floor or kind may not import', () => {
  const declared = projects.flatMap((project) =>
    project.dependencies
      .filter((name) => byName.has(name))
      .map((name) => ({ project, target: byName.get(name) })),
  );
  assertNone(
    declared.filter(
      ({ project, target }) =>
        target.floor > project.floor || !importable[project.kind]?.includes(target.kind),
    ),
    ({ project, target }) => `${project.directory}/package.json depends on ${target.name}`,
  );
});

test('what a source file imports stands in the dependencies of its package', () => {
  assertNone(
    imports.filter(({ file, specifier, project }) => {
      const name = packageOf(specifier);
      if (name === undefined || name === project.name) return false;
      if (project.dependencies.includes(name) || project.optionalDependencies.includes(name)) return false;
      return !(
        isTestFile(file) &&
        (developmentDependencies.has(name) || project.developmentDependencies.includes(name))
      );
    }),
    ({ file, specifier, project }) =>
      `${file} imports ${specifier}, which ${project.directory}/package.json does not name`,
  );
});

test('what a package.json names of ours is imported', () => {
  const used = new Set(crossings.map(({ project, target }) => `${project.name} ${target.name}`));
  // The harness names what the tests around it import too.
  const unused = projects.flatMap((project) =>
    project.dependencies
      .filter(() => project.kind !== 'test')
      .filter((name) => byName.has(name) && !used.has(`${project.name} ${name}`))
      .map((name) => ({ project, name })),
  );
  assertNone(
    unused,
    ({ project, name }) => `${project.directory}/package.json names ${name}, which nothing in it imports`,
  );
});

test('a package is reached through what it exports: no other path into it, no relative path out of one', () => {
  const deep = crossings.filter(({ specifier, target }) => !target.entrances.includes(specifier));
  const leaving = imports.filter(
    ({ file, specifier, project }) =>
      specifier.startsWith('.') && !resolveRelative(file, specifier).startsWith(`${project.directory}/src/`),
  );
  assertNone([...deep, ...leaving], ({ file, specifier }) => `${file} imports ${specifier}`);
});

test('packages do not import each other in a circle', () => {
  const graph = new Map(projects.map(({ name }) => [name, []]));
  for (const { project, target } of crossings) graph.get(project.name).push(target.name);
  assert.equal(findCycle(graph)?.join(' → '), undefined);
});

test('files do not load each other in a circle', () => {
  const graph = new Map(projects.flatMap(({ files }) => files).map((file) => [file, []]));
  for (const { file, specifier, typeOnly, dynamic } of imports)
    if (specifier.startsWith('.') && !typeOnly && !dynamic)
      graph.get(file).push(resolveRelative(file, specifier));
  assert.equal(findCycle(graph)?.join('\n→ '), undefined);
});

test('the compiler is told of the same dependencies as npm', () => {
  const wrong = projects
    .filter(({ files }) => files.length > 0)
    .flatMap((project) => {
      const path = join(project.directory, 'tsconfig.json');
      const { references = [] } = JSON.parse(readFileSync(join(root, path), 'utf8'));
      const referenced = new Set(
        references.map((reference) => normalize(join(project.directory, reference.path))),
      );
      return project.dependencies
        .map((name) => byName.get(name))
        .filter(
          (target) => target !== undefined && target.files.length > 0 && !referenced.has(target.directory),
        )
        .map((target) => `${path} does not refer to ${target.directory}`);
    });
  assert.equal(wrong.join('\n'), '');
});
