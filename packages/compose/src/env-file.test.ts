import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEnvFile } from './env-file.js';
import { problemsOf, fileOf, serviceOf, stackOf } from './testing/read.js';

const shell: Readonly<Record<string, string>> = { HERE: 'here' };

function read(text: string, raw = false): Record<string, string | undefined> | string {
  const parsed = parseEnvFile(text, (name) => shell[name], raw);
  return parsed.ok ? Object.fromEntries(parsed.values) : `${parsed.line}: ${parsed.message}`;
}

const table: readonly (readonly [text: string, values: Record<string, string | undefined> | string])[] = [
  ['', {}],
  ['# only a comment\n\n', {}],
  ['A=1', { A: '1' }],
  ['A=1\r\nB=2\r\n', { A: '1', B: '2' }],
  ['\uFEFFA=1', { A: '1' }],
  ['export A=1', { A: '1' }],
  ['  A = 1 ', { A: '1' }],
  ['A=', { A: '' }],
  ['A', { A: undefined }],
  ['A=1 # a comment', { A: '1' }],
  ['A=1#none', { A: '1#none' }],
  ['A=a=b', { A: 'a=b' }],
  ['A="x # y" # z', { A: 'x # y' }],
  ["A='$HERE \\n'", { A: '$HERE \\n' }],
  ["A='it\\'s'", { A: "it's" }],
  ['A="a\\nb\\tc\\\\ \\"q\\" \\$HERE"', { A: 'a\nb\tc\\ "q" $HERE' }],
  ['A="one\ntwo"\nB=3', { A: 'one\ntwo', B: '3' }],
  ['A=$HERE-x', { A: 'here-x' }],
  ['A="${HERE}"\nB=${A}y', { A: 'here', B: 'herey' }],
  ['A=${NO:-default}', { A: 'default' }],
  ['A=1\nA=2', { A: '2' }],
  ['A=1\n=2', '2: is not of the form NAME=VALUE'],
  ['A B=1', '1: is not of the form NAME=VALUE'],
  ['A="open', '1: has a " that is not closed'],
  ["A='open\n", "1: has a ' that is not closed"],
  ['A="x" y', '1: has a " that is not closed'],
  ['A=${', '1: has a $ that begins no variable in "${" ($$ stands for a dollar)'],
];

for (const [text, values] of table)
  test(`the file ${JSON.stringify(text)} says ${JSON.stringify(values)}`, () => {
    assert.deepEqual(read(text), values);
  });

test('a raw file is taken as it stands', () => {
  assert.deepEqual(read('A="x" # $HERE', true), { A: '"x" # $HERE' });
});

test('a file with quotes that never close is refused quickly', () => {
  assert.match(String(read(`A="${'x\n'.repeat(100_000)}`)), /not closed/);
});

test('environment stands above env_file, later files above earlier ones', () => {
  const { container } = serviceOf(
    'env_file: [one.env, { path: ./two.env }]\nenvironment: [C=own, FROM_SHELL, NOWHERE]',
    {
      files: { '/srv/one.env': 'A=1\nB=1\nC=1', '/srv/two.env': 'B=2\nNOWHERE=2' },
      environment: { FROM_SHELL: 'yes' },
    },
  );
  assert.deepEqual(container?.environment, ['A=1', 'B=2', 'C=own', 'FROM_SHELL=yes']);
});

test('a file that is missing is a problem unless it is not required', () => {
  assert.deepEqual(problemsOf(fileOf('env_file: no.env')), [
    'compose.yaml:4:15: services.a.env_file is /srv/no.env, which cannot be read',
  ]);
  stackOf(fileOf('env_file: [{ path: no.env, required: false }]'));
});

test('a wrong line of an env_file is a problem of that file', () => {
  assert.deepEqual(problemsOf(fileOf('env_file: a.env'), { files: { '/srv/a.env': 'A=1\n"B"=\n' } }), [
    'a.env:2:1: is not of the form NAME=VALUE',
  ]);
});
