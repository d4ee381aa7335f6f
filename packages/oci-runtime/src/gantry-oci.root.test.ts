import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { RuntimeSpec } from '@gantry/oci';

const skip = process.getuid?.() === 0 ? false : 'needs root: it makes containers';
const options = { skip, timeout: 60_000 };
const program = fileURLToPath(new URL('../../../bin/gantry-oci', import.meta.url));
let directory: string;
let count = 0;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-oci-'));
  const bin = join(directory, 'rootfs/bin');
  for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp'])
    mkdirSync(join(directory, 'rootfs', name), { recursive: true });
  copyFileSync('/bin/busybox', join(bin, 'busybox'));
  for (const name of ['sh', 'true', 'sleep', 'echo', 'cat', 'ls', 'id'])
    symlinkSync('busybox', join(bin, name));
});
after(() => {
  for (const id of existsSync(join(directory, 'root')) ? readdirSync(join(directory, 'root')) : [])
    gantryOci('delete', '--force', id);
  rmSync(directory, { recursive: true, force: true });
});

/** Output goes to files: a created container keeps what its create had as stdout, and a pipe would not end before it does. */
function gantryOci(...words: string[]) {
  const files = ['stdout', 'stderr'].map((name) => join(directory, name));
  const [out, error] = files.map((file) => openSync(file, 'w'));
  try {
    const { status } = spawnSync(program, ['--root', join(directory, 'root'), ...words], {
      cwd: directory,
      timeout: 30_000,
      stdio: ['ignore', out, error],
    });
    const [stdout = '', stderr = ''] = files.map((file) => readFileSync(file, 'utf8'));
    return { status, stdout, stderr };
  } finally {
    for (const descriptor of [out, error]) closeSync(descriptor ?? -1);
  }
}

function done(...words: string[]): string {
  const { status, stdout, stderr } = gantryOci(...words);
  assert.equal(status, 0, `${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** A bundle of its own with the root file system of all; its id is its name. */
function bundleOf(args: readonly string[], change: (spec: RuntimeSpec) => RuntimeSpec = (spec) => spec) {
  const id = `gantry-test-${process.pid}-${++count}`;
  const path = join(directory, id);
  mkdirSync(path);
  execFileSync(program, ['spec', '--bundle', path]);
  const config = join(path, 'config.json');
  const spec = JSON.parse(readFileSync(config, 'utf8')) as RuntimeSpec & { process: object };
  const plain = {
    ...spec,
    process: { ...spec.process, terminal: false, args },
    root: { path: join(directory, 'rootfs'), readonly: false },
  } as RuntimeSpec;
  writeFileSync(config, JSON.stringify(change(plain)));
  return { id, path };
}

const statusOf = (id: string): string => (JSON.parse(done('state', id)) as { status: string }).status;

test('run passes output and exit code on, and leaves nothing', options, () => {
  const { id, path } = bundleOf(['sh', '-c', 'echo out; echo err >&2; exit 3']);
  const { status, stdout, stderr } = gantryOci('run', '--bundle', path, id);
  assert.deepEqual([status, stdout, stderr], [3, 'out\n', 'err\n']);
  assert.ok(!existsSync(join(directory, 'root', id)));
  assert.match(gantryOci('state', id).stderr, /does not exist/);
});

test('the life of a container: created, running, stopped, gone', options, async () => {
  const { id, path } = bundleOf(['sleep', '60']);
  const pidFile = join(path, 'pid');
  done('create', '--bundle', path, '--pid-file', pidFile, id);
  assert.equal(statusOf(id), 'created');
  const pid = Number(readFileSync(pidFile, 'utf8'));
  assert.match(gantryOci('create', '--bundle', path, id).stderr, /exist/);
  done('start', id);
  assert.equal(statusOf(id), 'running');
  assert.notEqual(gantryOci('start', id).status, 0);
  assert.match(gantryOci('delete', id).stderr, /not stopped|running/);
  assert.equal(done('exec', id, 'echo', 'inside'), 'inside\n');
  assert.equal(gantryOci('exec', id, 'sh', '-c', 'exit 9').status, 9);
  done('pause', id);
  assert.equal(statusOf(id), 'paused');
  done('resume', id);
  assert.deepEqual(JSON.parse(done('ps', '--format', 'json', id)), [pid]);
  done('kill', id, 'KILL');
  for (let tries = 0; statusOf(id) !== 'stopped'; tries++) {
    assert.ok(tries < 200, 'the container does not stop');
    await delay(20);
  }
  assert.notEqual(gantryOci('kill', id, 'TERM').status, 0);
  done('delete', id);
  assert.notEqual(gantryOci('state', id).status, 0);
  assert.equal(gantryOci('delete', '--force', id).status, 0);
});

test(
  'a create killed at any moment blocks no later one, and delete leaves nothing of it',
  options,
  async () => {
    for (let round = 0; round < 12; round++) {
      const { id, path } = bundleOf(['sleep', '60']);
      const creation = spawn(program, ['--root', join(directory, 'root'), 'create', '--bundle', path, id], {
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => creation.once('exit', resolve));
      await delay(20 + round * 8);
      creation.kill('SIGKILL');
      await ended;
      const again = gantryOci('create', '--bundle', path, id);
      if (again.status !== 0) assert.match(again.stderr, /exist/);
      done('delete', '--force', id);
      assert.ok(!existsSync(join(directory, 'root', id)), `round ${round}`);
      const left = execFileSync(
        'sh',
        ['-c', `find /sys/fs/cgroup -maxdepth 3 -type d -name '${id}*' | head`],
        { encoding: 'utf8' },
      );
      assert.equal(left, '', `round ${round}`);
    }
  },
);

test('of several creates or starts at once one wins, and several deletes all succeed', options, async () => {
  const { id, path } = bundleOf(['sleep', '60']);
  const atOnce = (...words: string[]): Promise<(number | null)[]> =>
    Promise.all(
      [1, 2, 3].map(() => {
        const child = spawn(program, ['--root', join(directory, 'root'), ...words], { stdio: 'ignore' });
        return new Promise<number | null>((resolve) => child.once('exit', resolve));
      }),
    );
  assert.deepEqual((await atOnce('create', '--bundle', path, id)).sort(), [0, 1, 1]);
  assert.equal(statusOf(id), 'created');
  assert.deepEqual((await atOnce('start', id)).sort(), [0, 1, 1]);
  assert.equal(statusOf(id), 'running');
  assert.deepEqual(await atOnce('delete', '--force', id), [0, 0, 0]);
  assert.notEqual(gantryOci('state', id).status, 0);
});

const wrongUses: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['an unknown verb', ['fly'], /fly/],
  ['an unknown option', ['state', '--sideways', 'x'], /sideways/],
  ['a missing id', ['state'], /state/],
  ['an id that climbs', ['state', '../x'], /\.\.\/x|invalid/],
  ['a bundle that is not there', ['create', '--bundle', '/nonexistent', 'x'], /\/nonexistent/],
  ['an unknown signal', ['kill', 'x', 'SIGFUN'], /SIGFUN|does not exist/],
];
for (const [what, words, message] of wrongUses)
  test(`${what} gets one sentence naming it, and exit code 1`, options, () => {
    const { status, stdout, stderr } = gantryOci(...words);
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.ok(!stderr.includes('    at '), stderr);
  });

test('features name what the kernel here has', options, () => {
  const features = JSON.parse(done('features')) as {
    hooks: string[];
    linux: { namespaces: string[]; cgroup: { v1: boolean; v2: boolean } };
  };
  assert.ok(features.hooks.includes('createRuntime'));
  const here = readdirSync('/proc/self/ns');
  for (const namespace of features.linux.namespaces)
    assert.ok(here.includes({ network: 'net', mount: 'mnt' }[namespace] ?? namespace), namespace);
});

test('more input than a terminal holds passes through a program that echoes it', options, () => {
  const { id, path } = bundleOf(
    ['cat'],
    (spec) => ({ ...spec, process: { ...spec.process, terminal: true } }) as RuntimeSpec,
  );
  const lines = 8_000;
  const input = join(directory, 'typed');
  // ^D at the end: `cat` sees the end of its input.
  writeFileSync(
    input,
    Array.from({ length: lines }, (_, line) => `line ${line} ${'x'.repeat(40)}\n`).join('') + '\u0004',
  );
  const output = join(directory, 'shown');
  const files = [openSync(input, 'r'), openSync(output, 'w')];
  try {
    const { status, signal } = spawnSync(
      program,
      ['--root', join(directory, 'root'), 'run', '--bundle', path, id],
      {
        timeout: 20_000,
        stdio: [...files, 'inherit'],
      },
    );
    assert.deepEqual([status, signal], [0, null]);
  } finally {
    for (const file of files) closeSync(file);
  }
  // Once as the terminal's echo, once from `cat`.
  const shown = readFileSync(output, 'utf8');
  assert.equal(shown.split(`line ${lines - 1} `).length - 1, 2);
});
