import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DEFAULT_CAPABILITIES, defaultSeccomp } from '@gantry/oci';
import { loadNative } from './native.js';
import { SeccompCache } from './seccomp-cache.js';
import { SeccompCompiler } from './seccomp.js';

const native = loadNative();
const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});

/** A cache directory that is not there yet. */
function newDirectory(): string {
  const root = mkdtempSync(join(tmpdir(), 'gantry-test-seccomp-cache-'));
  roots.push(root);
  return join(root, 'seccomp');
}

const PROGRAM = Buffer.alloc(80, 7);

/** One program kept under "a", and the file it is in. */
function filled() {
  const directory = newDirectory();
  const cache = new SeccompCache(directory, native);
  cache.keep('a', PROGRAM);
  const [name = ''] = readdirSync(directory);
  return { directory, cache, path: join(directory, name) };
}

test('a profile is compiled once for all processes that share the directory', () => {
  const directory = newDirectory();
  let compilations = 0;
  const counting: typeof native.compileSeccomp = (profile) => (
    compilations++,
    native.compileSeccomp(profile)
  );
  const profile = defaultSeccomp(DEFAULT_CAPABILITIES, process.arch === 'arm64' ? 'arm64' : 'x64');
  const programs = [1, 2, 3].map(() =>
    Buffer.from(
      new SeccompCompiler({ compileSeccomp: counting }, new SeccompCache(directory, native)).compile(profile)
        .program,
    ).toString('hex'),
  );
  assert.equal(compilations, 1);
  assert.equal(new Set(programs).size, 1);
  assert.equal(lstatSync(directory).mode & 0o777, 0o700);
});

test('another version of libseccomp or another profile finds nothing', () => {
  const { directory, cache } = filled();
  assert.deepEqual(cache.find('a'), PROGRAM);
  assert.equal(cache.find('b'), undefined);
  const newer = new SeccompCache(directory, { seccompFacts: () => ({ libraryVersion: '99.0.0', flags: 0 }) });
  assert.equal(newer.find('a'), undefined);
});

test('half a file, a changed byte and a file under another name are not found', () => {
  const { cache, path } = filled();
  const whole = readFileSync(path);
  for (let length = 0; length < whole.length; length += 1) {
    writeFileSync(path, whole.subarray(0, length));
    assert.equal(cache.find('a'), undefined, `${length} bytes`);
  }
  for (let at = 0; at < whole.length; at += 1) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    writeFileSync(path, changed);
    assert.equal(cache.find('a'), undefined, `byte ${at}`);
  }
  writeFileSync(path, whole);
  assert.deepEqual(cache.find('a'), PROGRAM);
  cache.keep('b', Buffer.alloc(16, 1));
  rmSync(path);
  const [other = ''] = readdirSync(join(path, '..'));
  renameSync(join(path, '..', other), path);
  assert.equal(cache.find('a'), undefined);
});

test('a file, link or directory that another user could have written is not used', () => {
  const { directory, cache, path } = filled();
  chmodSync(path, 0o620);
  assert.equal(cache.find('a'), undefined, 'group may write the file');
  chmodSync(path, 0o600);
  chmodSync(directory, 0o777);
  assert.equal(cache.find('a'), undefined, 'all may write the directory');
  cache.keep('b', PROGRAM);
  assert.equal(readdirSync(directory).length, 1, 'nor is anything kept there');
  chmodSync(directory, 0o700);

  const aside = join(directory, '..', 'program');
  renameSync(path, aside);
  symlinkSync(aside, path);
  assert.equal(cache.find('a'), undefined, 'a link');
  rmSync(path);
  renameSync(aside, path);
  assert.deepEqual(cache.find('a'), PROGRAM);

  if (process.getuid?.() === 0) {
    chownSync(path, 1234, 0);
    assert.equal(cache.find('a'), undefined, 'another owner');
    chownSync(path, 0, 0);
  }
  const moved = `${directory}.moved`;
  renameSync(directory, moved);
  symlinkSync(moved, directory);
  assert.equal(cache.find('a'), undefined, 'the directory is a link');
});

test('a directory that cannot be made or written costs nothing but the compilation', () => {
  const cache = new SeccompCache('/proc/no/such/place', native);
  cache.keep('a', PROGRAM);
  assert.equal(cache.find('a'), undefined);
});

test('the directory stays small, and leftovers of killed writers go', () => {
  const { directory, cache } = filled();
  writeFileSync(join(directory, '.left-over'), '');
  for (let number = 0; number < 300; number += 1) cache.keep(`profile ${number}`, PROGRAM);
  const names = readdirSync(directory);
  assert.ok(names.length <= 128, `${names.length} files`);
  assert.ok(!names.includes('.left-over'));
  assert.deepEqual(cache.find('profile 299'), PROGRAM);
});
