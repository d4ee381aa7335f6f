import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  lchownSync,
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
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RuntimeSpec } from '@gantry/oci';

const program = fileURLToPath(new URL('../../../bin/gantry-oci', import.meta.url));
/** Of nobody on the machine, and with nothing in /etc/subuid. */
const user = 64_321;

const asUser = (directory: string): readonly string[] => [
  ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', 'env'],
  `XDG_RUNTIME_DIR=${directory}`,
];

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'needs root: it becomes somebody else';
  const [setpriv = '', ...words] = asUser('/');
  const reaches = spawnSync(setpriv, [...words, 'test', '-x', program]).status === 0;
  if (!reaches) return 'this machine cannot: only root can reach the repository';
  const makes = spawnSync(setpriv, [...words, 'unshare', '--user', 'true']).status === 0;
  return makes ? false : 'this machine cannot: only root may make user namespaces';
}

describe('a user who is not root', { skip: whyNot(), timeout: 60_000 }, () => {
  let directory: string;
  let count = 0;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-test-rootless-'));
    chmodSync(directory, 0o755);
    const rootfs = join(directory, 'rootfs');
    for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp'])
      mkdirSync(join(rootfs, name), { recursive: true });
    copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'));
    for (const name of ['sh', 'true', 'sleep', 'cat', 'id', 'grep', 'ls', 'touch', 'stat'])
      symlinkSync('busybox', join(rootfs, 'bin', name));
    for (const path of [directory, rootfs, join(rootfs, 'tmp'), join(rootfs, 'bin')])
      lchownSync(path, user, user);
  });
  after(() => {
    const state = join(directory, 'gantry-oci');
    const left = readdirSync(state).filter((name) => !name.startsWith('.'));
    for (const id of left) ask('delete', '--force', id);
    rmSync(directory, { recursive: true, force: true });
    assert.deepEqual(left, [], 'containers are left');
  });

  /** Output goes to files, which a container keeps open. */
  function ask(...words: string[]): { code: number | null; stdout: string; stderr: string } {
    const [setpriv = '', ...first] = asUser(directory);
    const files = ['stdout', 'stderr'].map((name) => join(directory, name));
    const [out = -1, error = -1] = files.map((file) => openSync(file, 'w'));
    const { status } = spawnSync(setpriv, [...first, program, ...words], {
      cwd: directory,
      timeout: 30_000,
      stdio: ['ignore', out, error],
    });
    closeSync(out);
    closeSync(error);
    const [stdout = '', stderr = ''] = files.map((file) => readFileSync(file, 'utf8'));
    return { code: status, stdout, stderr };
  }

  function must(...words: string[]): string {
    const { code, stdout, stderr } = ask(...words);
    assert.equal(code, 0, `${words.join(' ')}: ${stderr}`);
    assert.equal(stderr, '', words.join(' '));
    return stdout;
  }

  function refused(pattern: RegExp, ...words: string[]): void {
    const { code, stdout, stderr } = ask(...words);
    assert.notEqual(code, 0, stdout);
    const sentences = stderr.split('\n').filter((line) => line.includes('level=error'));
    assert.equal(sentences.length, 1, stderr);
    assert.match(stderr, pattern);
  }

  /** What `spec --rootless` writes, with another command. */
  function bundleOf(args: readonly string[], change: (spec: RuntimeSpec) => RuntimeSpec = (spec) => spec) {
    const id = `rootless-${process.pid}-${++count}`;
    const bundle = join(directory, id);
    mkdirSync(bundle);
    lchownSync(bundle, user, user);
    must('spec', '--rootless', '--bundle', bundle);
    const config = join(bundle, 'config.json');
    const spec = JSON.parse(readFileSync(config, 'utf8')) as RuntimeSpec & { process: object };
    const plain = {
      ...spec,
      process: { ...spec.process, terminal: false, args },
      root: { path: join(directory, 'rootfs') },
    } as RuntimeSpec;
    writeFileSync(config, JSON.stringify(change(plain)));
    return { id, bundle };
  }

  test('runs a container in which it is root, with the capabilities asked for, and owns what is made', () => {
    const script =
      'id -u; cat /proc/self/uid_map; grep CapEff /proc/self/status; touch /tmp/made; stat -c %u:%a /tmp/made';
    const { id, bundle } = bundleOf(['sh', '-c', script]);
    const [uid, map = '', capabilities, owner] = must('run', '--bundle', bundle, id).split('\n');
    assert.equal(uid, '0');
    assert.deepEqual(map.trim().split(/\s+/), ['0', String(user), '1']);
    assert.equal(capabilities, 'CapEff:\t0000000020000420');
    assert.equal(owner, '0:644');
  });

  test('creates, starts, enters, signals and removes a container without any right to cgroups', () => {
    const { id, bundle } = bundleOf(['sleep', '100']);
    must('create', '--bundle', bundle, id);
    must('start', id);
    const { pid, status } = JSON.parse(must('state', id)) as { pid: number; status: string };
    assert.equal(status, 'running');
    assert.equal(must('exec', id, 'id', '-u'), '0\n');
    assert.deepEqual(JSON.parse(must('ps', '--format', 'json', id)), [pid]);
    must('kill', id, 'KILL');
    must('delete', '--force', id);
    refused(/does not exist/, 'state', id);
  });

  test('is told what it may not have: pausing, limits, other ids, a container without a user namespace', () => {
    const running = bundleOf(['sleep', '100']);
    must('run', '--detach', '--bundle', running.bundle, running.id);
    refused(/cannot be paused/, 'pause', running.id);
    refused(/pids\.limit cannot be enforced/, 'update', '--pids-limit', '5', running.id);
    must('delete', '--force', running.id);

    const limited = bundleOf(['true'], (spec) => ({
      ...spec,
      linux: { ...spec.linux, resources: { pids: { limit: 10 } } } as RuntimeSpec['linux'] & object,
    }));
    for (const option of ['--rootless=true', '--rootless=auto'])
      refused(
        /pids\.limit cannot be enforced.*permission denied/,
        option,
        'run',
        '--bundle',
        limited.bundle,
        limited.id,
      );

    const wide = bundleOf(['true'], (spec) => {
      const uidMappings = [{ containerID: 0, hostID: user, size: 5 }];
      return { ...spec, linux: { ...spec.linux, uidMappings } as RuntimeSpec['linux'] & object };
    });
    refused(/uid_map: operation not permitted/, 'run', '--bundle', wide.bundle, wide.id);

    const outside = bundleOf(['true'], (spec) => {
      const { uidMappings: _uids, gidMappings: _gids, ...linux } = spec.linux ?? { namespaces: [] };
      const namespaces = linux.namespaces?.filter(({ type }) => type !== 'user') ?? [];
      return { ...spec, linux: { ...linux, namespaces } };
    });
    refused(/needs root/, 'run', '--bundle', outside.bundle, outside.id);
  });
});
