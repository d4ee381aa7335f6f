import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxLayer } from './busybox.js';
import { buildLayout, sha256, writeArchive, writeLayout, type ImageSource } from './oci-layout.js';
import { packTar } from './tar.js';

const image: ImageSource = {
  reference: 'demo.gantry/test:1',
  layers: [busyboxLayer(), [{ path: 'etc/hello', kind: 'file', content: 'hello\n' }]],
  defaults: { Cmd: ['sh'] },
};

test('every blob stands under its own digest, and the same image gives the same bytes', () => {
  const files = buildLayout([image]);
  for (const [path, content] of files) {
    const match = /^blobs\/sha256\/(.*)$/.exec(path);
    if (match !== null) assert.equal(match[1], sha256(content));
  }
  assert.deepEqual([...buildLayout([image]).keys()], [...files.keys()]);
});

test('tar reads what packTar wrote', () => {
  const listed = execFileSync('tar', ['-tvf', '-'], {
    input: packTar([
      { path: 'd/', kind: 'directory', mode: 0o1777 },
      { path: 'd/f', kind: 'file', content: 'x'.repeat(513), mode: 0o4755, uid: 1000 },
      { path: 'd/l', kind: 'symlink', target: 'f' },
    ]),
    encoding: 'utf8',
  });
  assert.match(
    listed,
    /drwxrwxrwt 0\/0 .* d\/\n-rwsr-xr-x 1000\/1000\s+513 .* d\/f\nlrwxrwxrwx .* d\/l -> f/,
  );
});

test('skopeo reads the layout and the archive', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-demo-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeLayout(join(directory, 'layout'), [image]);
  writeArchive(join(directory, 'archive.tar'), [image]);
  for (const source of [
    `oci:${join(directory, 'layout')}:demo.gantry/test:1`,
    `oci-archive:${join(directory, 'archive.tar')}`,
  ]) {
    const described = JSON.parse(execFileSync('skopeo', ['inspect', source], { encoding: 'utf8' })) as {
      Layers: string[];
    };
    assert.equal(described.Layers.length, 2);
  }
});
