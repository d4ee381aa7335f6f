import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RuntimeProcess, type RuntimeSpec } from '@gantry/oci';
import { isGantryError } from '@gantry/protocol';
import { handleOf, processOf, skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';

const options = { skip: skipUnlessRoot };
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

/** What a shell in a container of its own says. */
async function look(
  script: string,
  ofProcess: Partial<RuntimeProcess> = {},
  linux: RuntimeSpec['linux'] = {},
  more: Partial<RuntimeSpec> = {},
): Promise<string> {
  const spec = specOf(['sh', '-c', script], { ...more, linux }, ofProcess);
  const { stdout, stderr, exit } = await fixture.run(spec);
  assert.equal(exit.exitCode, 0, stdout + stderr);
  return stdout;
}

/** Fields of proc_pid_stat(5): nice, rt_priority, policy. */
const SCHEDULING = 'set -- $(cat /proc/self/stat); echo ${19} ${40} ${41}';

test(
  'each scheduling policy is the first process’s own, although root inside may not ask for it',
  options,
  async () => {
    const of = (scheduler: NonNullable<RuntimeProcess['scheduler']>) => look(SCHEDULING, { scheduler });
    assert.equal(await of({ policy: 'SCHED_OTHER', nice: -7 }), '-7 0 0\n');
    assert.equal(await of({ policy: 'SCHED_BATCH', nice: 5 }), '5 0 3\n');
    assert.equal(await of({ policy: 'SCHED_IDLE' }), '0 0 5\n');
    assert.equal(await of({ policy: 'SCHED_FIFO', priority: 9 }), '0 9 1\n');
    assert.equal(await of({ policy: 'SCHED_RR', priority: 3 }), '0 3 2\n');
  },
);

test(
  'a deadline is asked for by init itself, and a user namespace’s root is refused it by name',
  options,
  async () => {
    await assert.rejects(
      look('true', { scheduler: { policy: 'SCHED_DEADLINE', runtime: 1e7, deadline: 1e8, period: 1e8 } }),
      (error) =>
        isGantryError(error, 'invalid_argument') &&
        error.message.startsWith('cannot set scheduler SCHED_DEADLINE: it needs CAP_SYS_NICE'),
    );
    await assert.rejects(
      look('true', { scheduler: { policy: 'SCHED_ISO' } }),
      (error) =>
        isGantryError(error, 'invalid_argument') &&
        /cannot set scheduler SCHED_ISO: the kernel does not/.test(error.message),
    );
  },
);

test('an I/O priority is the process’s own', options, async () => {
  const of = (ioPriority: NonNullable<RuntimeProcess['ioPriority']>) =>
    look('busybox ionice -p $$', { ioPriority });
  assert.match(await of({ class: 'IOPRIO_CLASS_IDLE', priority: 0 }), /^idle/);
  assert.match(await of({ class: 'IOPRIO_CLASS_BE', priority: 6 }), /^best-effort: prio 6/);
  assert.match(await of({ class: 'IOPRIO_CLASS_RT', priority: 2 }), /^realtime: prio 2/);
});

test('LINUX32 makes the machine a 32-bit one, for the first process and for an exec', options, async () => {
  const linux = { personality: { domain: 'LINUX32' } };
  const container = await fixture.start(specOf(['sleep', '60'], { linux }));
  const { execId } = await fixture.exec(container.id, processOf(['busybox', 'uname', '-m']), {
    holdOutput: true,
  });
  const { stdout } = await fixture.attach({ containerId: container.id, execId });
  assert.match(stdout, /^(i686|armv8l|armv7l)\n$/);
  assert.equal(await look('busybox uname -m', {}, linux), stdout);
  container.main.signal(9);
  await container.main.exited;
});

test('a memory policy is in force, and a node that is not there is refused by name', options, async () => {
  const policy = (memoryPolicy: NonNullable<RuntimeSpec['linux']>['memoryPolicy']) =>
    look('cat /proc/self/numa_maps', {}, memoryPolicy === undefined ? {} : { memoryPolicy });
  assert.match(
    await policy({ mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] }),
    / bind=static:0 /,
  );
  assert.match(await policy({ mode: 'MPOL_INTERLEAVE', nodes: '0' }), / interleave:0 /);
  assert.match(await policy({ mode: 'MPOL_LOCAL' }), / local /);
  await assert.rejects(
    policy({ mode: 'MPOL_BIND', nodes: '500' }),
    (error) =>
      isGantryError(error, 'invalid_argument') && /^cannot set memory policy MPOL_BIND: /.test(error.message),
  );
});

test('limits above 2^53 arrive to the last bit', options, async () => {
  const limits = await look('cat /proc/self/limits', {
    rlimits: [
      { type: 'RLIMIT_FSIZE', soft: 2n ** 53n + 1n, hard: 2n ** 63n + 1n },
      { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      { type: 'RLIMIT_CPU', soft: 2n ** 64n - 1n, hard: 2n ** 64n - 1n },
    ],
  });
  assert.match(limits, /^Max file size +9007199254740993 +9223372036854775809 /m);
  assert.match(limits, /^Max core file size +0 +0 /m);
  assert.match(limits, /^Max cpu time +unlimited +unlimited /m);
});

test(
  'a container is not bound to the CPUs that Gantry runs on, and an exec is where it was asked to be',
  options,
  async () => {
    const own =
      execFileSync('taskset', ['-p', String(process.pid)], { encoding: 'utf8' })
        .trim()
        .split(' ')
        .at(-1) ?? '';
    const allowed = 'grep Cpus_allowed_list /proc/self/status';
    const container = await fixture.start(specOf(['sleep', '60']));
    const exec = async (execCPUAffinity: NonNullable<RuntimeProcess['execCPUAffinity']>): Promise<string> => {
      const { execId } = await fixture.exec(
        container.id,
        processOf(['sh', '-c', allowed], { execCPUAffinity }),
        {
          holdOutput: true,
        },
      );
      return (await fixture.attach({ containerId: container.id, execId })).stdout;
    };
    const everywhere = await look(allowed);
    try {
      execFileSync('taskset', ['-a', '-p', '1', String(process.pid)], { stdio: 'ignore' });
      assert.equal(await look(allowed), everywhere);
    } finally {
      execFileSync('taskset', ['-a', '-p', own, String(process.pid)], { stdio: 'ignore' });
    }
    assert.equal(await exec({ final: '0' }), 'Cpus_allowed_list:\t0\n');
    assert.equal(await exec({ initial: '0' }), 'Cpus_allowed_list:\t0\n');
    assert.equal(await exec({ initial: '1', final: '0' }), 'Cpus_allowed_list:\t0\n');
    await assert.rejects(
      exec({ final: '4000' }),
      (error) =>
        isGantryError(error, 'invalid_argument') && /^cannot set CPU affinity final: /.test(error.message),
    );
    container.main.signal(9);
    await container.main.exited;
  },
);

test('clocks of the container are ahead of the host’s by their offsets', options, async () => {
  const uptime = await look(
    'cat /proc/uptime',
    {},
    { timeOffsets: { boottime: { secs: 1_000_000 }, monotonic: { secs: 5 } } },
  );
  const host = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const ahead = Number(uptime.split(' ')[0]) - host;
  assert.ok(ahead > 999_990 && ahead < 1_000_010, String(ahead));
  await assert.rejects(
    look('true', {}, { timeOffsets: { boottime: { secs: -1_000_000_000 } } }),
    (error) =>
      isGantryError(error, 'invalid_argument') &&
      /^cannot set clock offsets boottime -1000000000 0/.test(error.message),
  );
});

test('a network device moves in with its new name and lasting addresses, up', options, async () => {
  const name = `gt${process.pid % 100000}a`;
  execFileSync('ip', [
    'link',
    'add',
    name,
    'address',
    '02:00:00:00:12:34',
    'mtu',
    '1400',
    'type',
    'veth',
    'peer',
    'name',
    `${name}b`,
  ]);
  try {
    execFileSync('ip', ['address', 'add', '192.0.2.7/24', 'dev', name]);
    execFileSync('ip', ['address', 'add', '2001:db8::7/64', 'dev', name, 'nodad']);
    execFileSync('ip', [
      'address',
      'add',
      '192.0.2.8/24',
      'dev',
      name,
      'valid_lft',
      '900',
      'preferred_lft',
      '900',
    ]);
    execFileSync('ip', ['link', 'set', name, 'up']);
    const shown = await look(
      'busybox ip address show lan0',
      {},
      { netDevices: { [name]: { name: 'lan0' } } },
    );
    assert.match(shown, /lan0[^\n]*<[^>\n]*\bUP\b[^>\n]*> mtu 1400/);
    assert.match(shown, /02:00:00:00:12:34/);
    assert.match(shown, /inet 192\.0\.2\.7\/24/);
    assert.match(shown, /inet6 2001:db8::7\/64/);
    assert.doesNotMatch(shown, /192\.0\.2\.8/, 'an address with a lease stays behind');
    await assert.rejects(
      look('true', {}, { netDevices: { 'not-there': {} } }),
      (error) =>
        isGantryError(error, 'invalid_argument') &&
        /^cannot find network device not-there: /.test(error.message),
    );
  } finally {
    // In the sandbox's network namespace, or still here after a failure.
    for (const at of [[], ['nsenter', `--net=${fixture.sandbox.network.path}`]])
      for (const device of ['lan0', name]) {
        const [command = 'ip', ...rest] = [...at, 'ip', 'link', 'delete', device];
        try {
          execFileSync(command, rest, { stdio: 'ignore' });
        } catch {
          // Gone with its peer.
        }
      }
  }
});

test(
  'groups beyond a thousand, a domain name, its sysctl and oom_score_adj are the container’s',
  options,
  async () => {
    const additionalGids = Array.from({ length: 2000 }, (_, group) => group + 10);
    assert.equal(await look('id -G | wc -w', { user: { uid: 0, gid: 0, additionalGids } }), '2001\n');
    assert.equal(
      await look('cat /proc/sys/kernel/domainname', {}, {}, { domainname: 'example.org' }),
      'example.org\n',
    );
    assert.equal(
      await look('cat /proc/sys/kernel/domainname', {}, { sysctl: { 'kernel.domainname': 'by.sysctl' } }),
      'by.sysctl\n',
    );
    assert.equal(await look('cat /proc/self/oom_score_adj', { oomScoreAdj: 321 }), '321\n');
  },
);

test('capabilities reach all five sets as far as they can be given', options, async () => {
  const status = await look('grep ^Cap /proc/self/status', {
    user: { uid: 1000, gid: 1000 },
    capabilities: {
      bounding: ['CAP_CHOWN', 'CAP_KILL', 'CAP_FROM_TOMORROW'],
      permitted: ['CAP_CHOWN', 'CAP_KILL'],
      effective: ['CAP_CHOWN'],
      inheritable: ['CAP_CHOWN', 'CAP_FOWNER'],
      ambient: ['CAP_CHOWN', 'CAP_KILL'],
    },
  });
  const set = (name: string): number =>
    parseInt(new RegExp(`${name}:\\s*(\\w+)`).exec(status)?.[1] ?? '', 16);
  assert.deepEqual(
    ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((name) => set(`Cap${name}`)),
    [1, 1, 1, 0x21, 1],
  );
});

test(
  'a working directory out of the container, of a file, or of nobody’s is refused by name',
  options,
  async () => {
    for (const descriptor of [3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      await assert.rejects(
        look('pwd; ls ..', { cwd: `/proc/self/fd/${descriptor}` }),
        (error) =>
          isGantryError(error, 'invalid_argument') && error.message.includes(`/proc/self/fd/${descriptor}`),
      );
    await assert.rejects(look('pwd', { cwd: '/etc/passwd' }), (error) =>
      isGantryError(error, 'invalid_argument'),
    );
    const container = await fixture.start(specOf(['sleep', '60']));
    for (let descriptor = 3; descriptor < 20; descriptor++) {
      const cwd = `/proc/self/fd/${descriptor}`;
      await assert.rejects(
        fixture.exec(container.id, processOf(['pwd'], { cwd })),
        (error) => isGantryError(error) && error.message.startsWith(`cannot enter working directory ${cwd}`),
        cwd,
      );
    }
    container.main.signal(9);
    await container.main.exited;
  },
);

test('a command by way of an inherited descriptor finds none to go through', options, async () => {
  const container = await fixture.start(specOf(['sleep', '60']));
  for (let descriptor = 3; descriptor < 24; descriptor++)
    for (const path of [
      `/proc/self/fd/${descriptor}/bin/busybox`,
      `/proc/self/fd/${descriptor}/../../bin/busybox`,
    ]) {
      const spec = specOf([path, 'echo', 'out']);
      await assert.rejects(fixture.start(spec), (error) => isGantryError(error, 'not_found'), path);
      await assert.rejects(fixture.exec(container.id, processOf([path, 'true'])), (error) =>
        isGantryError(error, 'not_found'),
      );
    }
  container.main.signal(9);
  await container.main.exited;
});

test(
  'a directory that its user alone may enter is entered as root, or as the user when root may not',
  options,
  async () => {
    const layer = fixture.makeDirectory('private-layer');
    mkdirSync(join(layer, 'home/own'), { recursive: true });
    execFileSync('chown', ['1000:1000', join(layer, 'home/own')]);
    chmodSync(join(layer, 'home/own'), 0o700);
    const spec = specOf(['pwd'], {}, { cwd: '/home/own', user: { uid: 1000, gid: 1000 } });
    const { stdout } = await fixture.run(spec, {
      rootfs: { lowerdirs: [layer, fixture.layer].map(handleOf), writable: handleOf(fixture.makeWritable()) },
    });
    assert.equal(stdout, '/home/own\n');
  },
);
