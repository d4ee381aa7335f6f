import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { humanDuration } from '@gantry/protocol/human-duration';
import { UsageFailure } from '../failures.js';
import { ellipsis, formatNanos, humanAge, humanBinarySize, humanSize } from './human.js';
import { describeLayer } from './progress.js';
import { formatTable } from './table.js';
import { tarOfDirectory } from './tar.js';
import { compileTemplate } from './template.js';

const data = {
  Name: 'web',
  Id: 'abc',
  State: { Pid: 42, Running: true, Health: undefined },
  Ports: { '80/tcp': [{ HostPort: '8080' }] },
  Networks: { bridge: { IPAddress: '10.0.0.2' }, other: { IPAddress: '10.1.0.2' } },
  Args: ['a', 'b'],
  Empty: [],
};

test('templates do what people use Go templates for', () => {
  const cases: [string, string][] = [
    ['plain', 'plain'],
    ['{{.Name}} {{ .State.Pid }}', 'web 42'],
    ['{{json .State}}', '{"Pid":42,"Running":true}'],
    ['{{json .}}', JSON.stringify(data)],
    ['{{.Name | upper}}\\t{{len .Args}}\\n', 'WEB\t2\n'],
    ['{{join .Args ", "}}', 'a, b'],
    ['{{range .Networks}}{{.IPAddress}};{{end}}', '10.0.0.2;10.1.0.2;'],
    ['{{range .Networks}}{{$.Name}} {{end}}', 'web web '],
    ['{{if .State.Running}}up{{else}}down{{end}}', 'up'],
    ['{{if .Empty}}full{{else}}empty{{end}}', 'empty'],
    ['{{with .State}}{{.Pid}}{{end}}', '42'],
    ['{{(index (index .Ports "80/tcp") 0) | json}}', '{"HostPort":"8080"}'],
    ['{{index .Networks "bridge" "IPAddress"}}', '10.0.0.2'],
    ['{{if eq .Name "web"}}yes{{end}}', 'yes'],
    ['{{.Nothing}}', '<no value>'],
    ['{{.Args}}', '[a b]'],
    ['{{/* said */}}x', 'x'],
  ];
  for (const [source, expected] of cases) assert.equal(compileTemplate(source)(data), expected, source);
});

test('a template that is not understood is refused with what is wrong in it', () => {
  const cases: [string, RegExp][] = [
    ['{{.Name', /unclosed \{\{/],
    ['{{if .Name}}x', /lacks \{\{end\}\} for \{\{if\}\}/],
    ['{{end}}', /lone \{\{end\}\}/],
    ['{{frobnicate .Name}}', /"frobnicate/],
    ['{{(.Name}}', /unclosed parenthesis/],
  ];
  for (const [source, message] of cases)
    assert.throws(
      () => compileTemplate(source),
      (error) => error instanceof UsageFailure && message.test(error.message),
      source,
    );
  fc.assert(
    fc.property(fc.stringMatching(/^[{}.a-z"()| $]{0,24}$/), (source) => {
      try {
        compileTemplate(source)(data);
      } catch (error) {
        assert.ok(error instanceof UsageFailure, `${source}: ${String(error)}`);
      }
    }),
  );
});

test('figures are shown as docker shows them', () => {
  assert.equal(humanSize(0), '0B');
  assert.equal(humanSize(1_234_567), '1.23MB');
  assert.equal(humanBinarySize(64 * 2 ** 20), '64MiB');
  assert.equal(humanDuration(500), 'Less than a second');
  assert.equal(humanDuration(65_000), 'About a minute');
  assert.equal(humanDuration(5 * 86_400_000), '5 days');
  assert.equal(humanAge(0, 5_000), 'N/A');
  assert.equal(humanAge(1_000, 4_000), '3 seconds ago');
  assert.equal(ellipsis('abcdef', 4), 'abc…');
  assert.equal(formatNanos(1_700_000_000_123_456_000), '2023-11-14T22:13:20.123456000Z');
  assert.equal(formatNanos(1_700_000_000_999_999_900), '2023-11-14T22:13:21.000000000Z');
});

test('columns are as wide as their widest cell', () => {
  assert.equal(
    formatTable([
      ['A', 'LONG'],
      ['wide', 'x'],
    ]),
    'A      LONG\nwide   x',
  );
});

test('a layer on its way has a bar when there is room for one', () => {
  const layer = {
    digest: `sha256:${'a'.repeat(64)}`,
    status: 'downloading',
    currentBytes: 50,
    totalBytes: 100,
  };
  assert.equal(
    describeLayer(layer),
    `aaaaaaaaaaaa: Downloading [${'='.repeat(15)}>${' '.repeat(14)}] 50B/100B`,
  );
  assert.equal(describeLayer(layer, 40), 'aaaaaaaaaaaa: Downloading 50B/100B');
  assert.equal(describeLayer({ ...layer, status: 'done' }), 'aaaaaaaaaaaa: Complete');
});

test('tar reads the directories that we stream', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-tar-'));
  t.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'blobs'));
  writeFileSync(join(directory, 'blobs', 'empty'), '');
  writeFileSync(join(directory, 'index.json'), 'x'.repeat(1_000));
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarOfDirectory(`${directory}/`)) chunks.push(chunk);
  const listed = execFileSync('tar', ['-tvf', '-'], { input: Buffer.concat(chunks), encoding: 'utf8' });
  assert.match(listed, /-rw-r--r-- 0\/0 +0 .* blobs\/empty\n/);
  assert.match(listed, /-rw-r--r-- 0\/0 +1000 .* index\.json\n/);
});
