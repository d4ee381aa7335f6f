import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpolate } from './interpolate.js';
import { problemsOf, serviceOf, stackOf } from './testing/read.js';

const variables: Readonly<Record<string, string>> = { SET: 'value', EMPTY: '', OTHER: 'other', _x1: 'u' };

function read(text: string): { readonly result: string; readonly unset: readonly string[] } {
  const unset: string[] = [];
  const done = interpolate(
    text,
    (name) => variables[name],
    (name) => unset.push(name),
  );
  return { result: done.ok ? done.text : `! ${done.message}`, unset };
}

/** The table of the Compose Specification (12-interpolation.md), and its corners. */
const table: readonly (readonly [text: string, result: string])[] = [
  ['plain', 'plain'],
  ['$SET', 'value'],
  ['${SET}', 'value'],
  ['a-$SET-b', 'a-value-b'],
  ['$SET$OTHER', 'valueother'],
  ['${SET}x', 'valuex'],
  ['$_x1', 'u'],
  ['$SET.x', 'value.x'],
  ['$UNSET', ''],
  ['${UNSET}', ''],
  ['${EMPTY}', ''],
  ['${SET:-default}', 'value'],
  ['${EMPTY:-default}', 'default'],
  ['${UNSET:-default}', 'default'],
  ['${SET-default}', 'value'],
  ['${EMPTY-default}', ''],
  ['${UNSET-default}', 'default'],
  ['${UNSET:-}', ''],
  ['${UNSET:-a:b-c?d+e}', 'a:b-c?d+e'],
  ['${SET:?error}', 'value'],
  ['${SET?error}', 'value'],
  ['${EMPTY?error}', ''],
  ['${SET:+replacement}', 'replacement'],
  ['${EMPTY:+replacement}', ''],
  ['${UNSET:+replacement}', ''],
  ['${SET+replacement}', 'replacement'],
  ['${EMPTY+replacement}', 'replacement'],
  ['${UNSET+replacement}', ''],
  ['${UNSET:-$SET}', 'value'],
  ['${UNSET:-${SET}}', 'value'],
  ['${UNSET:-${EMPTY:-${OTHER}}}', 'other'],
  ['${UNSET:-a ${SET} b}', 'a value b'],
  ['${SET:+${OTHER}}', 'other'],
  ['$$SET', '$SET'],
  ['$${SET}', '${SET}'],
  ['$$$SET', '$value'],
  ['${UNSET:-$$x}', '$x'],
  ['${EMPTY:?}', '! needs variable EMPTY, which is empty'],
  ['${EMPTY:?say why}', '! needs variable EMPTY, which is empty: say why'],
  ['${UNSET:?say why}', '! needs variable UNSET, which is not set: say why'],
  ['${UNSET?say $SET}', '! needs variable UNSET, which is not set: say value'],
  ['${SET:+${UNSET?inner}}', '! needs variable UNSET, which is not set: inner'],
  ['${SET:-${UNSET?not reached}}', 'value'],
  ['$', '! has a $ that begins no variable in "$" ($$ stands for a dollar)'],
  ['$1', '! has a $ that begins no variable in "$1" ($$ stands for a dollar)'],
  ['5 $ each', '! has a $ that begins no variable in "5 $ each" ($$ stands for a dollar)'],
  ['${', '! has a $ that begins no variable in "${" ($$ stands for a dollar)'],
  ['${}', '! has a $ that begins no variable in "${}" ($$ stands for a dollar)'],
  ['${SET', '! has a $ that begins no variable in "${SET" ($$ stands for a dollar)'],
  ['${SET!}', '! has a $ that begins no variable in "${SET!}" ($$ stands for a dollar)'],
  ['${UNSET:-${SET}', '! has a $ that begins no variable in "${UNSET:-${SET}" ($$ stands for a dollar)'],
];

for (const [text, result] of table)
  test(`${JSON.stringify(text)} becomes ${JSON.stringify(result)}`, () => {
    assert.equal(read(text).result, result);
  });

test('only variables that are used and have no default are told as unset', () => {
  assert.deepEqual(read('$A ${B} ${C:-x} ${SET:-$D} ${E+$F} ${G:-$H}').unset, ['A', 'B', 'H']);
});

test('variables nested without end are refused', () => {
  const deep = '${A:-'.repeat(500) + '}'.repeat(500);
  assert.equal(read(deep).result, '! has variables nested more than 20 deep');
});

test('variables come from the shell first, then from .env beside the first file', () => {
  const { container } = serviceOf('hostname: $A\nuser: $B\nworking_dir: /$COMPOSE_PROJECT_NAME', {
    environment: { A: 'shell' },
    files: { '/srv/.env': 'A=file\nB="file $A"\n' },
  });
  assert.deepEqual(
    [container?.hostname, container?.user, container?.workingDirectory],
    ['shell', 'file shell', '/demo'],
  );
});

test('an unset variable is empty, and a warning names it and its place', () => {
  const { warnings, stack } = stackOf('services:\n  a:\n    image: x:1$NO\n');
  assert.equal(stack.services[0]?.container?.image, 'x:1');
  assert.deepEqual(warnings, [
    'compose.yaml:3:12: services.a.image: variable NO is not set: an empty text stands for it',
  ]);
});

test('a variable may give a number, but what it gives is a text: never null, never true', () => {
  const spec = serviceOf('environment: { E: $EMPTY, N: $NULL }\ndeploy: { replicas: $N }', {
    environment: { EMPTY: '', NULL: 'null', N: '4' },
  });
  assert.equal(spec.replicas, 4);
  assert.deepEqual(spec.container?.environment, ['E=', 'N=null']);
});

test('keys are not interpolated, and extensions are left alone', () => {
  const { warnings } = stackOf('x-a: ${X?never asked}\nservices: { a: { image: x, labels: { $KEY: v } } }');
  assert.deepEqual(warnings, []);
});

test('a variable that must be there is a problem where it is used', () => {
  assert.deepEqual(problemsOf('services:\n  a:\n    image: x:${TAG:?set it}\n    user: "$"\n'), [
    'compose.yaml:3:12: services.a.image needs variable TAG, which is not set: set it',
    'compose.yaml:4:11: services.a.user has a $ that begins no variable in "$" ($$ stands for a dollar)',
  ]);
});

test('a wrong line of .env is a problem of that file', () => {
  assert.deepEqual(
    problemsOf('services: { a: { image: x } }', { files: { '/srv/.env': 'A=1\nno name here\n' } }),
    ['.env:2:1: is not of the form NAME=VALUE'],
  );
});
