import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RuntimeSpec } from '@gantry/oci';
import { compileContainer } from './container-plan.js';
import { DirectLauncher, type DirectProcess, openStartDoor } from './direct-launcher.js';
import { readHostFacts } from './host.js';
import { loadNative } from './native.js';
import { ID_BASE, newId, skipUnlessRoot, specOf, SpawnerFixture } from './spawner-fixture.js';
import type { CallerSupervision } from './supervision.js';
import { plainCaller } from './supervision-fixture.js';

const options = { skip: skipUnlessRoot, timeout: 60_000 };
const native = skipUnlessRoot === false ? loadNative() : undefined;
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => {
  await fixture?.remove();
});

function bundleOf(spec: RuntimeSpec): { readonly spec: RuntimeSpec; readonly directory: string } {
  const directory = fixture.makeDirectory(`direct-${newId().slice(0, 8)}`);
  const rootfs = join(directory, 'rootfs');
  execFileSync('cp', ['-a', fixture.layer, rootfs]);
  return { spec: { ...spec, root: { path: rootfs } }, directory };
}

async function launch(
  bundle: ReturnType<typeof bundleOf>,
  more: Partial<CallerSupervision> = {},
  place?: (pid: number) => Promise<void>,
) {
  const supervision = { ...plainCaller, ...more };
  const plan = compileContainer(
    {
      spec: bundle.spec,
      lowerdirs: [],
      writable: undefined,
      userNamespace: undefined,
      networkNamespace: undefined,
      cgroups: [],
      directory: bundle.directory,
      state: { ociVersion: '1.3.0', id: 'direct', bundle: bundle.directory, annotations: { of: 'a "test"' } },
      supervision,
      seccomp: undefined,
    },
    readHostFacts(),
  );
  return new DirectLauncher(native ?? assert.fail()).launch({
    plan,
    directory: bundle.directory,
    label: 'direct',
    preservedDescriptors: supervision.preservedDescriptors,
    timeoutMs: 20_000,
    ...(place === undefined ? {} : { place }),
  });
}

async function started(...given: Parameters<typeof launch>): Promise<DirectProcess> {
  const result = await launch(...given);
  if (!result.ok) assert.fail(JSON.stringify(result.failure));
  return result.process;
}

/** A spec whose user namespace the launcher makes. */
function mappedSpec(args: readonly string[], more: Partial<RuntimeSpec> = {}): RuntimeSpec {
  const mapping = [{ containerID: 0, hostID: ID_BASE, size: 65536 }];
  return specOf(args, {
    ...more,
    linux: { uidMappings: mapping, gidMappings: mapping, ...more.linux },
  });
}

/** In the host's user namespace, as runc's and crun's callers ask for by default. */
function plainSpec(args: readonly string[]): RuntimeSpec {
  const types = ['pid', 'mount', 'ipc', 'uts', 'network', 'cgroup'] as const;
  return specOf(args, { linux: { namespaces: types.map((type) => ({ type })) } });
}

/** Puts the whole root file system into the range of the user namespace, as a caller has to. */
function chownRoot(bundle: ReturnType<typeof bundleOf>): void {
  execFileSync('chown', ['-R', `${ID_BASE}:${ID_BASE}`, join(bundle.directory, 'rootfs')]);
  chmodSync(bundle.directory, 0o755);
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    assert.ok(tries < 500, `${what} does not happen`);
    await delay(10);
  }
}

test('a process in the foreground tells its exit code, and by which signal it ended', options, async () => {
  const bundle = bundleOf(mappedSpec(['sh', '-c', 'exit 7']));
  chownRoot(bundle);
  assert.equal((await (await started(bundle)).ended()).exitCode, 7);
  const killed = bundleOf(mappedSpec(['sh', '-c', 'kill -9 $$; sleep 60']));
  chownRoot(killed);
  // Init is not killed by signals from inside its own pid namespace.
  const running = await started(killed);
  native?.signalProcess(running.pid, running.startTicks, 15);
  native?.signalProcess(running.pid, running.startTicks, 9);
  const end = await running.ended();
  assert.equal(end.signal, 9);
  assert.equal(end.exitCode, 137);
});

test('a new user namespace has the mappings of the spec', options, async () => {
  const bundle = bundleOf(mappedSpec(['sleep', '60']));
  chownRoot(bundle);
  const { pid, startTicks, ended } = await started(bundle);
  try {
    assert.match(
      readFileSync(`/proc/${pid}/uid_map`, 'utf8'),
      new RegExp(`^\\s*0\\s+${ID_BASE}\\s+65536\\s*$`),
    );
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\\s+${ID_BASE}\\s`, 'm'));
  } finally {
    native?.signalProcess(pid, startTicks, 9);
    await ended();
  }
});

test('a created container stands still until its start, and then executes its command', options, async () => {
  const bundle = bundleOf(plainSpec(['sh', '-c', 'echo ran >/mark; sleep 60']));
  const { pid, startTicks } = await started(bundle, { awaitStart: true });
  try {
    const mark = join(bundle.directory, 'rootfs/mark');
    await delay(100);
    assert.ok(!existsSync(mark));
    assert.equal(await openStartDoor(bundle.directory, 5_000), undefined);
    await until('the command runs', () => existsSync(mark));
    await assert.rejects(openStartDoor(bundle.directory, 5_000), { code: 'ECONNREFUSED' });
  } finally {
    native?.signalProcess(pid, startTicks, 9);
  }
});

test(
  'a command that is not there fails the creation, one that cannot be executed the start',
  options,
  async () => {
    const absent = await launch(bundleOf(plainSpec(['no-such-command'])), { awaitStart: true });
    assert.deepEqual(
      absent.ok ? undefined : [absent.failure.stage, absent.failure.errno, absent.failure.path],
      ['execute', 2, 'no-such-command'],
    );
    const bundle = bundleOf(plainSpec(['/bin/nonsense']));
    writeFileSync(join(bundle.directory, 'rootfs/bin/nonsense'), 'neither script nor program', {
      mode: 0o755,
    });
    await started(bundle, { awaitStart: true });
    const failure = await openStartDoor(bundle.directory, 5_000);
    assert.deepEqual([failure?.stage, failure?.errno], ['execute', 8]);
  },
);

test('hooks run in their order and places, with the state on stdin', options, async () => {
  const bundle = bundleOf(plainSpec(['true']));
  const log = join(bundle.directory, 'hooks.log');
  const hook = (name: string) => ({
    path: '/bin/sh',
    args: ['sh', '-c', `{ echo ${name} $(readlink /proc/self/ns/mnt) $ONE; cat; } >>${log}`],
    env: ['ONE=1', 'PATH=/bin:/usr/bin'],
  });
  const inside = { path: '/bin/sh', args: ['sh', '-c', 'cat >/from-hook'], env: ['PATH=/bin'] };
  const spec: RuntimeSpec = {
    ...bundle.spec,
    hooks: {
      prestart: [hook('prestart')],
      createRuntime: [hook('createRuntime')],
      createContainer: [hook('createContainer')],
      startContainer: [inside],
    },
  };
  const process = await started({ ...bundle, spec });
  assert.equal((await process.ended()).exitCode, 0);
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  const own = readlinkSync('/proc/self/ns/mnt');
  assert.deepEqual(
    [0, 2, 4].map((at) => lines[at]?.split(' ')[0]),
    ['prestart', 'createRuntime', 'createContainer'],
  );
  assert.equal(lines[0]?.split(' ')[1], own);
  assert.notEqual(lines[4]?.split(' ')[1], own);
  assert.equal(lines[0]?.split(' ')[2], '1');
  // A hook in the container's namespaces is told the pid as the container sees it.
  for (const [at, pid] of [
    [1, process.pid],
    [3, process.pid],
    [5, 1],
  ] as const)
    assert.deepEqual(JSON.parse(lines[at] ?? ''), {
      ociVersion: '1.3.0',
      id: 'direct',
      status: 'created',
      pid,
      bundle: bundle.directory,
      annotations: { of: 'a "test"' },
    });
  const state = JSON.parse(readFileSync(join(bundle.directory, 'rootfs/from-hook'), 'utf8')) as {
    status: string;
  };
  assert.equal(state.status, 'created');
});

test(
  "HOME comes from the container's passwd, loopback is up, and hooks see the mounted root from the bundle",
  options,
  async () => {
    const command = 'echo "$HOME" >/seen; cat /sys/class/net/lo/flags >>/seen';
    const bundle = bundleOf(plainSpec(['sh', '-c', command]));
    writeFileSync(
      join(bundle.directory, 'rootfs/etc/passwd'),
      'no:colons\nsomebody:x:0:0::/home/somebody:/bin/sh\n',
    );
    const mounted = { path: '/bin/sh', args: ['sh', '-c', 'test -e rootfs/proc/self'], env: ['PATH=/bin'] };
    const { process } = bundle.spec;
    assert.ok(process);
    const spec: RuntimeSpec = {
      ...bundle.spec,
      process: { ...process, env: ['PATH=/bin'] },
      hooks: { createContainer: [mounted] },
    };
    assert.equal((await (await started({ ...bundle, spec })).ended()).exitCode, 0);
    assert.equal(readFileSync(join(bundle.directory, 'rootfs/seen'), 'utf8'), '/home/somebody\n0x9\n');
  },
);

for (const kind of ['prestart', 'createRuntime', 'createContainer', 'startContainer'] as const)
  test(`a ${kind} hook that fails ends the start and leaves no process`, options, async () => {
    const bundle = bundleOf(plainSpec(['sleep', '60']));
    const spec = { ...bundle.spec, hooks: { [kind]: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 3'] }] } };
    const result = await launch({ ...bundle, spec });
    assert.ok(!result.ok);
    assert.equal(result.failure.stage, `run ${kind} hook`);
    assert.equal(result.failure.path, '/bin/sh: exit status 3');
  });

test('a hook that takes longer than its timeout is killed with what it started', options, async () => {
  const bundle = bundleOf(plainSpec(['true']));
  const pidFile = join(bundle.directory, 'pid');
  const args = ['sh', '-c', `sleep 300 & echo $! >${pidFile}; wait`];
  const spec = { ...bundle.spec, hooks: { createRuntime: [{ path: '/bin/sh', args, timeout: 1 }] } };
  const result = await launch({ ...bundle, spec });
  assert.ok(!result.ok);
  assert.equal(result.failure.path, '/bin/sh: not done after 1 s');
  const pid = readFileSync(pidFile, 'utf8').trim();
  await until(
    'the end of the hook',
    () => !existsSync(`/proc/${pid}/exe`) || !readFileSync(`/proc/${pid}/stat`, 'utf8').includes('sleep'),
  );
});

test('namespaces by path are joined', options, async () => {
  const holder = spawn('unshare', ['--uts', '--ipc', '--net', 'sh', '-c', 'echo ready; read _'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  try {
    const path = (kind: string) => `/proc/${holder.pid}/ns/${kind}`;
    const { hostname: _, ...plain } = specOf(['sleep', '60'], {
      linux: {
        namespaces: [
          { type: 'mount' },
          { type: 'pid' },
          { type: 'uts', path: path('uts') },
          { type: 'ipc', path: path('ipc') },
          { type: 'network', path: path('net') },
        ],
      },
    });
    const { pid, startTicks, ended } = await started(bundleOf(plain));
    try {
      for (const kind of ['uts', 'ipc', 'net'])
        assert.equal(readlinkSync(`/proc/${pid}/ns/${kind}`), readlinkSync(path(kind)));
      assert.notEqual(readlinkSync(`/proc/${pid}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'));
    } finally {
      native?.signalProcess(pid, startTicks, 9);
      await ended();
    }
  } finally {
    holder.stdin.end();
  }
});

test('the stage waits until it has been placed', options, async () => {
  const placed: number[] = [];
  const process = await started(bundleOf(plainSpec(['true'])), { awaitPlacement: true }, async (pid) => {
    assert.ok(existsSync(`/proc/${pid}`));
    await delay(50);
    placed.push(pid);
  });
  assert.equal(placed.length, 1);
  assert.equal((await process.ended()).exitCode, 0);
});

test('nothing of the launcher is open in the container', options, async () => {
  const bundle = bundleOf(plainSpec(['sleep', '60']));
  const { pid, startTicks, ended } = await started(bundle);
  try {
    const open = execFileSync('ls', [`/proc/${pid}/fd`], { encoding: 'utf8' })
      .trim()
      .split('\n');
    assert.deepEqual(open, ['0', '1', '2']);
  } finally {
    native?.signalProcess(pid, startTicks, 9);
    await ended();
  }
});

test('the launches left nothing mounted', options, () => {
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes('direct-'));
});
