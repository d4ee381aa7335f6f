import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../../bin/gantry-oci', import.meta.url));
const skip = process.getuid?.() === 0 ? false : 'needs root: it makes containers';
const parent = `gantry-killed-${process.pid}`;

/** Everywhere in a verb's way: from before Node runs to after the verb has ended, on this machine as it is now. */
const moments = 14;

describe('gantry-oci killed at any moment', { skip, timeout: 240_000 }, () => {
  let directory: string;
  let count = 0;
  const root = (): string => join(directory, 'state');

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-test-killed-'));
    const bin = join(directory, 'rootfs/bin');
    for (const name of ['bin', 'proc', 'sys', 'dev'])
      mkdirSync(join(directory, 'rootfs', name), { recursive: true });
    copyFileSync('/bin/busybox', join(bin, 'busybox'));
    for (const name of ['sleep', 'true']) symlinkSync('busybox', join(bin, name));
    assert.equal(spawnSync(program, ['spec', '--bundle', directory]).status, 0);
    const config = join(directory, 'config.json');
    const spec = JSON.parse(readFileSync(config, 'utf8')) as { process: object };
    Object.assign(spec.process, { terminal: false, args: ['sleep', '1000'] });
    writeFileSync(config, JSON.stringify({ ...spec, root: { path: 'rootfs' } }));
  });
  after(() => {
    rmSync(directory, { recursive: true, force: true });
    for (const path of cgroupsNamed(parent)) rmdirSync(path);
  });

  const words = (verb: readonly string[], id: string): readonly string[] => ['--root', root(), ...verb, id];

  function ask(verb: readonly string[], id: string): void {
    const { status, stderr } = spawnSync(program, words(verb, id), {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.equal(status, 0, `${verb.join(' ')}: ${stderr}`);
  }

  /** Output goes nowhere: a container would keep it open. */
  async function killAfter(ms: number, verb: readonly string[], id: string): Promise<void> {
    const nowhere = openSync('/dev/null', 'r+');
    const child = spawn(program, words(verb, id), { stdio: [nowhere, nowhere, nowhere] });
    closeSync(nowhere);
    const ended = once(child, 'exit');
    await delay(ms);
    child.kill('SIGKILL');
    await ended;
  }

  /** How long the verb takes when it is let be. */
  function millisecondsOf(verb: readonly string[], id: string): number {
    const start = performance.now();
    const { status } = spawnSync(program, words(verb, id), { stdio: 'ignore', timeout: 30_000 });
    assert.equal(status, 0, verb.join(' '));
    return performance.now() - start;
  }

  function newId(): string {
    const id = `killed-${process.pid}-${++count}`;
    const config = join(directory, 'config.json');
    const spec = JSON.parse(readFileSync(config, 'utf8')) as { linux: object };
    Object.assign(spec.linux, { cgroupsPath: `/${parent}/${id}` });
    writeFileSync(config, JSON.stringify(spec));
    return id;
  }

  async function assertNothingLeft(id: string, what: string): Promise<void> {
    const left = (): string[] => [
      ...(existsSync(join(root(), id)) ? [`state of ${id}`] : []),
      ...cgroupsNamed(join(parent, id)).map((path) => `cgroup ${path}`),
      ...processesNaming(id).map((pid) => `process ${pid}`),
    ];
    // A launcher that was left alone notices by itself.
    for (const end = Date.now() + 3000; left().length > 0 && Date.now() < end;) await delay(20);
    assert.deepEqual(left(), [], what);
  }

  const create = ['create', '--bundle'];
  const inBundle = (verb: readonly string[]): readonly string[] => [...verb, directory];
  const ways = [
    { name: 'create', first: [], verb: () => inBundle(create) },
    { name: 'start', first: [() => inBundle(create)], verb: () => ['start'] },
    { name: 'run', first: [], verb: () => inBundle(['run', '--detach', '--bundle']) },
    {
      name: 'delete',
      first: [() => inBundle(['run', '--detach', '--bundle'])],
      verb: () => ['delete', '--force'],
    },
  ];
  for (const { name, first, verb } of ways)
    test(`${name}: delete --force takes everything away, and the id can be used again`, async () => {
      const whole = newId();
      for (const step of first) millisecondsOf(step(), whole);
      const most = millisecondsOf(verb(), whole) * 1.1;
      ask(['delete', '--force'], whole);
      for (let moment = 0; moment < moments; moment++) {
        const ms = (most * moment) / (moments - 1);
        const id = newId();
        for (const step of first) millisecondsOf(step(), id);
        await killAfter(ms, verb(), id);
        ask(['delete', '--force'], id);
        await assertNothingLeft(id, `${name} was killed after ${ms.toFixed(1)} of ${most.toFixed(1)} ms`);
        if (moment % 7 !== 3) continue;
        millisecondsOf(inBundle(create), id);
        ask(['delete', '--force'], id);
        await assertNothingLeft(id, `${name} was killed after ${ms.toFixed(1)} ms, and the id used again`);
      }
    });
});

function cgroupsNamed(name: string): string[] {
  const mounts = ['', ...readdirSync('/sys/fs/cgroup')].map((hierarchy) =>
    join('/sys/fs/cgroup', hierarchy, name),
  );
  return mounts.filter((path) => existsSync(join(path, 'cgroup.procs')));
}

function processesNaming(id: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      if (!/^\d+$/.test(pid) || /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
        return false;
      const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/cgroup`, 'utf8');
      return new RegExp(`${id}(?!\\d)`).test(text);
    } catch {
      return false;
    }
  });
}
