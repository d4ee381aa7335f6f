import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileProgram } from './compiled-code.js';

const root = mkdtempSync(join(tmpdir(), 'gantry-test-compiled-'));
after(() => rmSync(root, { recursive: true }));
const source = join(root, 'program.cjs');
writeFileSync(source, '(function () { function lazily(n) { return n * 6; } return lazily(7); })');
let count = 0;

const newDirectory = (): string => join(root, String(count++));

function answer(directory: string, release = 'r1', kind = 'run'): unknown {
  const program = compileProgram(source, directory, release, kind);
  const result = (program.evaluate() as () => unknown)();
  program.learn();
  return result;
}

/** The kept file after so many commands that went well. */
function learnt(commands: number): { directory: string; path: string } {
  const directory = newDirectory();
  for (let command = 0; command < commands; command++) assert.equal(answer(directory), 42);
  return { directory, path: join(directory, 'r1-run') };
}

test('three commands that went well add the code they needed, one file for each kind; then it stays', () => {
  const { directory, path } = learnt(3);
  const before = statSync(path);
  assert.equal(readFileSync(path).at(-1), 3);
  assert.equal(answer(directory), 42);
  assert.equal(statSync(path).ino, before.ino);
  answer(directory, 'r1', 'state');
  assert.deepEqual(readdirSync(directory).sort(), ['r1-run', 'r1-state']);
});

test('code of another release is not read, and removed once there is newer', () => {
  const { directory } = learnt(1);
  assert.equal(answer(directory, 'r2'), 42);
  assert.deepEqual(readdirSync(directory), ['r2-run']);
});

test('code that somebody else could have written is not read', () => {
  const { directory, path } = learnt(1);
  chmodSync(path, 0o666);
  assert.equal(answer(directory), 42);
  // Begun anew, and not added to.
  assert.equal(readFileSync(path).at(-1), 1);
  const { path: other } = learnt(2);
  rmSync(path);
  symlinkSync(other, path);
  assert.equal(answer(directory), 42);
  assert.equal(readFileSync(path).at(-1), 1);
});

/** In a process of its own: V8 remembers within one what it has compiled. */
function answerElsewhere(directory: string, ...flags: string[]): string {
  const module = JSON.stringify(new URL('compiled-code.js', import.meta.url).href);
  const program = `import { compileProgram } from ${module};
    const program = compileProgram(${JSON.stringify(source)}, ${JSON.stringify(directory)}, 'r1', 'run');
    process.stdout.write(String(program.evaluate()()));
    program.learn();`;
  const words = [...flags, '--input-type=module', '--eval', program];
  return execFileSync(process.execPath, words, { encoding: 'utf8' });
}

test('what is no code of V8, half of one, or of another version is compiled anew', () => {
  for (const damage of [
    () => Buffer.alloc(0),
    () => Buffer.from('no code'),
    (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1),
    (bytes: Buffer) => Buffer.concat([Buffer.alloc(8, 0xff), bytes.subarray(8)]),
  ]) {
    const { directory, path } = learnt(2);
    writeFileSync(path, damage(readFileSync(path)));
    assert.equal(answerElsewhere(directory), '42');
    assert.equal(readFileSync(path).at(-1), 1);
  }
});

test('another process takes kept code, unless its V8 has other flags', () => {
  const { directory, path } = learnt(1);
  assert.equal(answerElsewhere(directory), '42');
  assert.equal(readFileSync(path).at(-1), 2);
  assert.equal(answerElsewhere(directory, '--no-rehash-snapshot'), '42');
  assert.equal(readFileSync(path).at(-1), 1);
});

test('where nothing can be kept, commands go on without', () => {
  const file = join(root, 'file');
  writeFileSync(file, '');
  assert.equal(answer(join(file, 'below')), 42);
});
