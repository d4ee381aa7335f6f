import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CAPABILITIES,
  composeRuntimeSpec,
  DEFAULT_CAPABILITIES,
  defaultMounts,
  mergeEnvironment,
  mergeExecution,
  mergeMounts,
  parsePasswd,
  parseSignal,
  processCapabilities,
  resolveCapabilities,
  resolveDevice,
  resolveInside,
  resolveSysctls,
  resolveUlimits,
  resolveUser,
  signalName,
  type Checked,
  type ExecutionWish,
} from './index.js';

function value<T>(checked: Checked<T>): T {
  assert.ok(checked.ok, checked.ok ? '' : checked.reason);
  return checked.value;
}

function reason(checked: Checked<unknown>): string {
  assert.ok(!checked.ok);
  return checked.reason;
}

const nothing: ExecutionWish = {
  entrypoint: [],
  entrypointSet: false,
  command: [],
  environment: [],
  workingDirectory: '',
  user: '',
  stopSignal: '',
  labels: {},
  healthCheck: undefined,
};

test('a container keeps docker’s fourteen capabilities unless told otherwise', () => {
  assert.deepEqual(
    value(resolveCapabilities({ add: [], drop: [], privileged: false })),
    DEFAULT_CAPABILITIES,
  );
  assert.equal(DEFAULT_CAPABILITIES.length, 14);
});

test('dropping ALL keeps only what is added, adding ALL keeps all but what is dropped', () => {
  assert.deepEqual(value(resolveCapabilities({ add: ['net_admin'], drop: ['ALL'], privileged: false })), [
    'CAP_NET_ADMIN',
  ]);
  const most = value(resolveCapabilities({ add: ['all'], drop: ['CAP_SYS_ADMIN'], privileged: false }));
  assert.equal(most.length, CAPABILITIES.length - 1);
  assert.ok(!most.includes('CAP_SYS_ADMIN'));
  assert.match(
    reason(resolveCapabilities({ add: ['frobnicate'], drop: [], privileged: false })),
    /frobnicate/,
  );
});

test('whatever is added and dropped, an added capability is kept and a dropped one is not, unless both name it', () => {
  const names = fc.uniqueArray(fc.constantFrom(...CAPABILITIES));
  fc.assert(
    fc.property(names, names, (add, drop) => {
      const kept = new Set(value(resolveCapabilities({ add, drop, privileged: false })));
      for (const name of add) assert.ok(kept.has(name));
      for (const name of drop) assert.equal(kept.has(name), add.includes(name));
    }),
  );
});

test('a process that is not root has no effective capability', () => {
  const sets = processCapabilities(DEFAULT_CAPABILITIES, 1000);
  assert.deepEqual(sets.effective, []);
  assert.deepEqual(sets.bounding, DEFAULT_CAPABILITIES);
});

test('signals are read by name with and without SIG, by number, and around the real-time ones', () => {
  for (const text of ['TERM', 'sigterm', '15']) assert.equal(parseSignal(text), 15);
  assert.equal(parseSignal('RTMIN+3'), 37);
  assert.equal(parseSignal('SIGRTMAX-1'), 63);
  for (const text of ['', '0', '65', 'TOSTRING', 'RTMIN+40']) assert.equal(parseSignal(text), undefined);
  for (let number = 1; number <= 64; number += 1) {
    if (number !== 32 && number !== 33) assert.equal(parseSignal(signalName(number)), number);
  }
});

test('a given command replaces the image’s, a given entrypoint also drops it', () => {
  const image = { Entrypoint: ['/entry'], Cmd: ['serve'] };
  assert.deepEqual(value(mergeExecution(image, nothing)).args, ['/entry', 'serve']);
  assert.deepEqual(value(mergeExecution(image, { ...nothing, command: ['x'] })).args, ['/entry', 'x']);
  assert.deepEqual(
    value(mergeExecution(image, { ...nothing, entrypoint: ['/e'], entrypointSet: true })).args,
    ['/e'],
  );
  assert.match(reason(mergeExecution(image, { ...nothing, entrypointSet: true })), /no command/);
});

test('user’s environment, directory, signal and labels win over the image’s', () => {
  const merged = value(
    mergeExecution(
      {
        Cmd: ['a'],
        Env: ['A=1', 'B=2'],
        WorkingDir: 'srv',
        StopSignal: 'QUIT',
        Labels: { a: '1' },
        User: 'www',
      },
      { ...nothing, environment: ['B=3', 'A'], labels: { a: '2' } },
    ),
  );
  assert.deepEqual(merged.environment, ['B=3']);
  assert.equal(merged.workingDirectory, '/srv');
  assert.equal(merged.stopSignal, 3);
  assert.deepEqual(merged.labels, { a: '2' });
  assert.equal(merged.user, 'www');
});

test('a health check takes the user’s figures, then the image’s, then docker’s', () => {
  const image = { Cmd: ['a'], Healthcheck: { Test: ['CMD', 'ok'], Interval: 5e9, Retries: 7 } };
  const wish = { test: [], intervalMs: 0, timeoutMs: 1500, startPeriodMs: 0, startIntervalMs: 0, retries: 0 };
  const check = value(mergeExecution(image, { ...nothing, healthCheck: wish })).healthCheck;
  assert.deepEqual(check, {
    test: ['CMD', 'ok'],
    intervalMs: 5000,
    timeoutMs: 1500,
    startPeriodMs: 0,
    startIntervalMs: 5000,
    retries: 7,
  });
  const off = value(mergeExecution(image, { ...nothing, healthCheck: { ...wish, test: ['NONE'] } }));
  assert.equal(off.healthCheck, undefined);
});

test('the last entry of a variable wins and names stay unique', () => {
  const entry = fc
    .tuple(fc.constantFrom('A', 'B', 'C'), fc.string())
    .map(([name, text]) => `${name}=${text}`);
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      const merged = mergeEnvironment(entries);
      for (const name of ['A', 'B', 'C']) {
        const all = entries.filter((text) => text.startsWith(`${name}=`));
        assert.deepEqual(
          merged.filter((text) => text.startsWith(`${name}=`)),
          all.slice(-1),
        );
      }
    }),
  );
});

test('no path leads above the root', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', '..', '.', '', 'b')), (parts) => {
      const path = resolveInside('/x', parts.join('/'));
      assert.match(path, /^\/(?:[ab]|x|\/)*$/);
      assert.ok(!path.includes('//') && !path.includes('..'));
    }),
  );
});

const files = {
  passwd: 'root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\n7:x:70:71::/seven:\nbroken\n',
  group: 'root:x:0:\nwww:x:33:\nlogs:x:44:www,other\nssl:x:45:www\n',
};

test('a user is found by name or number, with its group, its home and the groups that list it', () => {
  assert.deepEqual(value(resolveUser('www', [], files)), {
    uid: 33,
    gid: 33,
    additionalGids: [44, 45],
    home: '/var/www',
  });
  assert.deepEqual(value(resolveUser('33:logs', [], files)), {
    uid: 33,
    gid: 44,
    additionalGids: [],
    home: '/var/www',
  });
  assert.deepEqual(value(resolveUser('', [], files)), { uid: 0, gid: 0, additionalGids: [], home: '/root' });
  assert.deepEqual(value(resolveUser('1234', ['ssl', '9'], files)), {
    uid: 1234,
    gid: 0,
    additionalGids: [9, 45],
    home: '/',
  });
  assert.equal(value(resolveUser('7', [], files)).uid, 70, 'names win over numbers');
  assert.match(reason(resolveUser('nobody', [], files)), /nobody/);
  assert.match(reason(resolveUser('www:none', [], files)), /none/);
  assert.match(reason(resolveUser('a:b:c', [], files)), /user:group/);
});

test('any text at all is read as a passwd file without failing', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const { uid, gid } of parsePasswd(text)) assert.ok(uid >= 0 && gid >= 0);
    }),
  );
});

test('only sysctls with a namespace of their own are allowed, the others are refused by name', () => {
  const split = value(
    resolveSysctls({ 'net/core/somaxconn': '1', 'kernel.shmmax': '2' }, { hostNetwork: false }),
  );
  assert.deepEqual(split, { network: { 'net.core.somaxconn': '1' }, runtime: { 'kernel.shmmax': '2' } });
  assert.match(reason(resolveSysctls({ 'vm.swappiness': '1' }, { hostNetwork: false })), /vm\.swappiness/);
  assert.match(
    reason(resolveSysctls({ 'net.core.somaxconn': '1' }, { hostNetwork: true })),
    /somaxconn.*host/,
  );
  assert.match(reason(resolveSysctls({ '../x': '1' }, { hostNetwork: false })), /not a name/);
});

test('ulimits are known names with a soft limit below the hard one', () => {
  assert.deepEqual(value(resolveUlimits([{ name: 'nofile', soft: 10, hard: 20 }])), [
    { type: 'RLIMIT_NOFILE', soft: 10, hard: 20 },
  ]);
  assert.ok(value(resolveUlimits([{ name: 'core', soft: -1, hard: -1 }]))[0]?.soft === 2 ** 64);
  assert.match(reason(resolveUlimits([{ name: 'nofile', soft: 30, hard: 20 }])), /above/);
  assert.match(reason(resolveUlimits([{ name: 'files', soft: 1, hard: 1 }])), /files/);
});

test('a device is a node of the host with permissions among r, w and m', () => {
  const host = { type: 'c' as const, major: 10, minor: 229, fileMode: 0o666 };
  const found = value(resolveDevice({ hostPath: '/dev/fuse', containerPath: '', permissions: 'rw' }, host));
  assert.deepEqual(found.rule, { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' });
  assert.match(
    reason(resolveDevice({ hostPath: '/dev/no', containerPath: '', permissions: '' }, undefined)),
    /\/dev\/no/,
  );
  assert.match(
    reason(resolveDevice({ hostPath: '/dev/fuse', containerPath: '', permissions: 'rx' }, host)),
    /rx/,
  );
});

test('mounts of the user replace the default ones and follow their parents', () => {
  const defaults = defaultMounts({ privileged: false, shmSizeBytes: 1, foreignNetwork: false });
  const merged = mergeMounts(defaults, [
    { destination: '/a/b/c', source: '/1' },
    { destination: '/a', source: '/2' },
    { destination: '/dev/shm', source: '/3' },
  ]).map(({ destination }) => destination);
  assert.ok(merged.indexOf('/a') < merged.indexOf('/a/b/c'));
  assert.ok(merged.indexOf('/dev') < merged.indexOf('/dev/shm'));
  assert.equal(merged.filter((path) => path === '/dev/shm').length, 1);
});

test('with the host’s network inside a user namespace /sys is bound read-only', () => {
  const [sys] = defaultMounts({ privileged: true, shmSizeBytes: 1, foreignNetwork: true }).filter(
    ({ destination }) => destination === '/sys',
  );
  assert.equal(sys?.type, 'bind');
  assert.ok(sys.options?.includes('ro'));
});

test('a spec names the namespaces, hides system paths and gives a non-root user no capability', () => {
  const spec = composeRuntimeSpec({
    process: {
      args: ['sh'],
      environment: [],
      workingDirectory: '/',
      user: { uid: 5, gid: 6, additionalGids: [], home: '/' },
      terminal: false,
      capabilities: DEFAULT_CAPABILITIES,
      noNewPrivileges: false,
      rlimits: [],
      oomScoreAdjust: undefined,
    },
    hostname: 'h',
    readOnlyRootfs: true,
    privileged: false,
    shmSizeBytes: 1,
    mounts: [],
    devices: [],
    deviceRules: [],
    sysctls: {},
    seccomp: undefined,
    userNamespace: true,
    networkNamespace: true,
    hideSystemPaths: true,
    annotations: {},
  });
  assert.deepEqual(
    spec.linux?.namespaces?.map(({ type }) => type),
    ['user', 'network', 'pid', 'mount', 'ipc', 'uts', 'cgroup', 'time'],
  );
  assert.ok(spec.linux.maskedPaths?.includes('/proc/kcore'));
  assert.deepEqual(spec.process?.capabilities?.effective, []);
});
