import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { copyContent } from './copy-up.js';
import { LayerTree, readInRunning } from './layer-tree.js';
import { nativeFiles } from './native.js';
import { VolumeStore } from './volume-store.js';

const skip = process.getuid?.() === 0 ? false : 'whiteouts can only be made by root';

/** Layers in a directory of their own, described as path → content; a content of null is a whiteout. */
class Layers implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'gantry-test-layers-'));
  readonly roots: string[] = [];

  /** Adds a layer below the ones before: the first is the upper. */
  add(files: Readonly<Record<string, string | null>>): string {
    const root = join(this.directory, String(this.roots.length));
    mkdirSync(root);
    this.roots.push(root);
    for (const [path, content] of Object.entries(files)) {
      const place = join(root, path);
      mkdirSync(dirname(place), { recursive: true });
      if (content === null) execFileSync('mknod', [place, 'c', '0', '0']);
      else if (content.startsWith('-> ')) symlinkSync(content.slice(3), place);
      else writeFileSync(place, content);
    }
    return root;
  }

  get tree(): LayerTree {
    return new LayerTree(this.roots);
  }

  read(path: string): string | undefined {
    return this.tree.readFile(path, 1000)?.toString();
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

test('the top file wins, a whiteout hides, an opaque directory hides all below it', { skip }, () => {
  using layers = new Layers();
  const upper = layers.add({ 'etc/passwd': 'upper', 'etc/gone': null, 'opaque/own': '1' });
  layers.add({ 'etc/passwd': 'lower', 'etc/gone': 'x', 'etc/group': 'lower', 'opaque/hidden': '2' });
  execFileSync('python3', [
    '-c',
    `import os; os.setxattr(${JSON.stringify(`${upper}/opaque`)}, "user.overlay.opaque", b"y")`,
  ]);
  assert.equal(layers.read('/etc/passwd'), 'upper');
  assert.equal(layers.read('/etc/group'), 'lower');
  assert.equal(layers.read('/etc/gone'), undefined);
  assert.equal(layers.read('/opaque/own'), '1');
  assert.equal(layers.read('/opaque/hidden'), undefined);
});

test('no symlink of an image leads out of it, however it is written', { skip }, () => {
  using layers = new Layers();
  const outside = join(layers.directory, 'secret');
  writeFileSync(outside, 'secret');
  layers.add({
    absolute: `-> ${outside}`,
    climbing: '-> ../../../../../../../../../../etc/hostname',
    'deep/up': '-> ../../../../..',
    loop: '-> loop',
    'etc/hostname': 'inside',
    link: '-> /etc',
  });
  assert.equal(layers.read('/absolute'), undefined);
  assert.equal(layers.read('/climbing'), 'inside');
  assert.equal(layers.read('/deep/up/etc/hostname'), 'inside');
  assert.equal(layers.read('/link/hostname'), 'inside');
  assert.equal(layers.read('/loop'), undefined);
  assert.equal(layers.read('/../../etc/hostname'), 'inside');
});

test('a symlink may lead from one layer into another', { skip }, () => {
  using layers = new Layers();
  layers.add({ current: '-> /releases/2' });
  layers.add({ 'releases/2/file': 'two' });
  assert.equal(layers.read('/current/file'), 'two');
});

test('a running container’s files are read below its root alone', { skip }, () => {
  using layers = new Layers();
  const root = layers.add({ 'etc/passwd': 'inside', escape: '-> /etc/passwd', up: '-> ../../../etc/passwd' });
  for (const path of ['/etc/passwd', '/escape', '/up'])
    assert.equal(nativeFiles.readInRoot(root, path, 1000)?.toString(), 'inside', path);
  assert.equal(nativeFiles.readInRoot(root, '/none', 1000), null);
  assert.throws(() => nativeFiles.readInRoot(root, '/etc', 1000), /not a regular file/);
  assert.throws(() => nativeFiles.readInRoot(root, '/etc/passwd', 2), /too large/);
  assert.ok((readInRunning(process.pid, '/etc/passwd', 1 << 20)?.length ?? 0) > 0);
});

test('the addon refuses arguments that are not what it takes', () => {
  const hostile = nativeFiles as unknown as Record<string, (...words: unknown[]) => unknown>;
  for (const words of [
    [],
    [1, 2, 3],
    ['/', 'x'],
    ['/', 'x', -1],
    ['/', 'x', Infinity],
    ['/\0', 'x', 10],
    [{}, null, 1],
  ])
    assert.throws(() => hostile.readInRoot?.(...words), JSON.stringify(words));
  for (const words of [[], [1], ['a\0b']]) assert.throws(() => hostile.isOpaque?.(...words));
});

test(
  'a new volume takes what the image has in its place, with owners and without what is whited out',
  { skip },
  async () => {
    using layers = new Layers();
    layers.add({ 'data/gone': null, 'data/new': 'new' });
    const lower = layers.add({ 'data/gone': 'x', 'data/sub/old': 'old', 'data/link': '-> /etc/shadow' });
    chownSync(join(lower, 'data/sub/old'), 33, 44);
    const volumes = new VolumeStore(layers.directory);
    await volumes.ensure('v', { anonymous: false, labels: {} });
    await volumes.fill('v', layers.tree, '/data');
    const data = volumes.dataPath('v');
    assert.equal(readFileSync(join(data, 'new'), 'utf8'), 'new');
    const old = lstatSync(join(data, 'sub/old'));
    assert.deepEqual([old.uid, old.gid], [33, 44]);
    assert.ok(lstatSync(join(data, 'link')).isSymbolicLink());
    assert.equal(lstatSync(join(data, 'gone'), { throwIfNoEntry: false }), undefined);
    writeFileSync(join(data, 'new'), 'mine');
    await volumes.fill('v', layers.tree, '/data');
    assert.equal(readFileSync(join(data, 'new'), 'utf8'), 'mine', 'a used volume is never filled again');
  },
);

test('a filling that was cut short is done again from the start', { skip }, async () => {
  using layers = new Layers();
  layers.add({ 'data/file': 'whole' });
  const first = new VolumeStore(layers.directory);
  await first.ensure('v', { anonymous: false, labels: {} });
  const record = join(layers.directory, 'volumes/v/volume.json');
  writeFileSync(record, JSON.stringify({ ...JSON.parse(readFileSync(record, 'utf8')), filling: true }));
  writeFileSync(join(first.dataPath('v'), 'file'), 'ha');
  const next = new VolumeStore(layers.directory);
  await next.load();
  await next.fill('v', layers.tree, '/data');
  assert.equal(readFileSync(join(next.dataPath('v'), 'file'), 'utf8'), 'whole');
});

test('a directory’s own owner and mode are copied too', { skip }, async () => {
  using layers = new Layers();
  const root = layers.add({ 'srv/file': '1' });
  chownSync(join(root, 'srv'), 7, 8);
  const target = join(layers.directory, 'target');
  mkdirSync(target);
  const entry = layers.tree.resolve('/srv');
  assert.ok(entry?.kind === 'directory');
  await copyContent(layers.tree, entry, target);
  assert.equal(lstatSync(target).uid, 7);
});
