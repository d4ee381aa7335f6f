import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeSpec } from '@gantry/oci';
import { compileContainer, type ContainerInput, type HostFacts } from './container-plan.js';
import { namespaceFlag, planNamespaces } from './namespace-plan.js';
import { planFlag, planTag, readPlan } from './plan-format.js';
import { plainShim } from './supervision-fixture.js';

const host: HostFacts = {
  hierarchies: [
    { mountPoint: '/sys/fs/cgroup/memory', version: 1, controllers: ['memory'] },
    { mountPoint: '/sys/fs/cgroup/unified', version: 2, controllers: [] },
  ],
  findDevice: (type, major, minor) =>
    type === 'c' && major === 10 && minor === 229 ? '/dev/fuse' : undefined,
};

const handle = (path: string) => ({ path, device: 1, inode: 2 });

function input(spec: Partial<RuntimeSpec> = {}, more: Partial<ContainerInput> = {}): ContainerInput {
  const namespaces = (['user', 'network', 'pid', 'mount'] as const).map((type) => ({ type }));
  return {
    spec: {
      ociVersion: '1.2.0',
      process: { user: { uid: 0, gid: 0 }, args: ['sh'], cwd: '/' },
      ...spec,
      linux: { namespaces, ...spec.linux },
    },
    lowerdirs: [handle('/a'), handle('/b')],
    writable: handle('/w'),
    userNamespace: handle('/u'),
    networkNamespace: handle('/n'),
    cgroups: [],
    directory: '/run/x',
    state: { ociVersion: '1.3.0', id: 'x', bundle: '/b' },
    supervision: plainShim,
    seccomp: undefined,
    ...more,
  };
}

function tagsOf(given: ContainerInput): number[] {
  return readPlan(compileContainer(given, host)).map(({ tag }) => tag);
}

test('namespaces that are handed over are joined, the others made', () => {
  const { created, own } = planNamespaces(input().spec, { user: true, network: true });
  assert.equal(created, namespaceFlag.pid | namespaceFlag.mount);
  assert.equal(own, namespaceFlag.pid | namespaceFlag.mount | namespaceFlag.user | namespaceFlag.network);
});

test('the user namespace comes before the layers, steps in the order they must happen in', () => {
  const tags = tagsOf(
    input({
      hostname: 'box',
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
      linux: {
        namespaces: (['user', 'network', 'pid', 'mount', 'uts'] as const).map((type) => ({ type })),
        sysctl: { 'net.core.somaxconn': '1' },
        maskedPaths: ['/proc/keys'],
        readonlyPaths: ['/proc/sys'],
      },
    }),
  );
  const order = [
    planTag.userNamespace,
    planTag.layer,
    planTag.writable,
    planTag.mountFilesystem,
    planTag.mountBind,
    planTag.link,
    planTag.sysctl,
    planTag.hostname,
    planTag.readonly,
    planTag.mask,
    planTag.arguments,
  ];
  const places = order.map((tag) => tags.indexOf(tag));
  assert.ok(
    places.every((place, index) => place > (places[index - 1] ?? -1)),
    String(places),
  );
});

test('flags say what was asked for', () => {
  const given = input(
    {
      root: { path: 'rootfs', readonly: true },
      process: { terminal: true, user: { uid: 0, gid: 0 }, args: ['sh'], cwd: '/', noNewPrivileges: true },
    },
    { supervision: { ...plainShim, openStdin: true, holdOutput: true } },
  );
  const flags = readPlan(compileContainer(given, host))
    .find(({ tag }) => tag === planTag.flags)
    ?.payload.readUInt32LE();
  assert.equal(
    flags,
    planFlag.terminal |
      planFlag.openStdin |
      planFlag.holdOutput |
      planFlag.rootReadonly |
      planFlag.noNewPrivileges,
  );
});

test('only hierarchies in which the container has a cgroup of its own are mounted', () => {
  const mounts = [{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] }];
  const namespaces = (['mount', 'cgroup'] as const).map((type) => ({ type }));
  const count = (cgroups: string[]): number =>
    tagsOf(input({ mounts, linux: { namespaces } }, { cgroups: cgroups.map(handle) })).filter(
      (tag) => tag === planTag.mountFilesystem,
    ).length;
  assert.equal(count([]), 1, 'an empty tmpfs');
  assert.equal(count(['/sys/fs/cgroup/memory/g/x', '/sys/fs/cgroup/unified/g/x']), 2);
  assert.equal(count(['/sys/fs/cgroup/unified/g/x']), 1);
});

test("in a user namespace a device is bound from the host's node of the same number", () => {
  const records = readPlan(
    compileContainer(
      input({ linux: { devices: [{ type: 'c', path: '/dev/my-fuse', major: 10, minor: 229 }] } }),
      host,
    ),
  );
  const bound = records
    .filter(({ tag }) => tag === planTag.mountBind)
    .map(({ payload }) => payload.toString('latin1'));
  assert.ok(bound.some((text) => text.includes('/dev/fuse\0') && text.includes('/dev/my-fuse\0')));
  assert.equal(bound.length, 7);
});

test('without a user namespace devices are made and none is bound', () => {
  const namespaces = [{ type: 'mount' as const }];
  const devices = [
    { type: 'c', path: '/dev/absent', major: 9, minor: 9, fileMode: 0o640 },
    { type: 'p', path: '/dev/queue' },
  ];
  const tags = tagsOf(input({ linux: { namespaces, devices } }, { userNamespace: undefined }));
  assert.equal(tags.filter((tag) => tag === planTag.device).length, 8);
  assert.ok(!tags.includes(planTag.mountBind));
});

test('a relative mount destination is beneath the root', () => {
  const records = readPlan(
    compileContainer(input({ mounts: [{ destination: 'x/../y', type: 'tmpfs' }] }), host),
  );
  const mounted = records.find(({ tag }) => tag === planTag.mountFilesystem)?.payload.toString('latin1');
  assert.ok(mounted?.includes('/y\0'), mounted);
});

const refusals: readonly (readonly [string, Partial<RuntimeSpec>, RegExp, Partial<ContainerInput>?])[] = [
  [
    'a hook by a relative path',
    { hooks: { prestart: [{ path: 'x' }] } },
    /^hooks\.prestart\[0\]\.path is "x", which is not an absolute path$/,
  ],
  ['intelRdt', { linux: { intelRdt: { closID: 'x' } } }, /^linux\.intelRdt is not supported$/],
  [
    'an SELinux label',
    { process: { user: { uid: 0, gid: 0 }, args: ['sh'], cwd: '/', selinuxLabel: 'x' } },
    /^process\.selinuxLabel is "x", but the kernel runs without SELinux$/,
  ],
  [
    'an AppArmor profile',
    { process: { user: { uid: 0, gid: 0 }, args: ['sh'], cwd: '/', apparmorProfile: 'x' } },
    /^process\.apparmorProfile is "x", but the kernel runs without AppArmor$/,
  ],
  ['no arguments', { process: { user: { uid: 0, gid: 0 }, args: [], cwd: '/' } }, /^process\.args is empty$/],
  [
    'a NUL',
    { process: { user: { uid: 0, gid: 0 }, args: ['a\0b'], cwd: '/' } },
    /^process\.args holds a NUL character$/,
  ],
  [
    'a relative working directory',
    { process: { user: { uid: 0, gid: 0 }, args: ['sh'], cwd: 'x' } },
    /^process\.cwd is "x", which is not an absolute path$/,
  ],
  [
    'an unknown limit',
    {
      process: {
        user: { uid: 0, gid: 0 },
        args: ['sh'],
        cwd: '/',
        rlimits: [{ type: 'RLIMIT_FUN', soft: 1, hard: 1 }],
      },
    },
    /^process\.rlimits has "RLIMIT_FUN", which is not a resource limit$/,
  ],
  [
    'a soft limit above the hard',
    {
      process: {
        user: { uid: 0, gid: 0 },
        args: ['sh'],
        cwd: '/',
        rlimits: [{ type: 'RLIMIT_CPU', soft: 2, hard: 1 }],
      },
    },
    /soft limit above its hard one$/,
  ],
  [
    'a namespace by a relative path',
    { linux: { namespaces: [{ type: 'mount' }, { type: 'pid', path: 'ns/pid' }] } },
    /^linux\.namespaces joins pid by "ns\/pid", which is not an absolute path$/,
  ],
  [
    'no mount namespace',
    { linux: { namespaces: [{ type: 'pid' }] } },
    /^linux\.namespaces has no mount namespace$/,
  ],
  [
    'a user namespace without mappings',
    { linux: { namespaces: [{ type: 'user' }, { type: 'mount' }] } },
    /^linux\.namespaces has a new user namespace, but linux\.uidMappings is empty$/,
    { userNamespace: undefined },
  ],
  [
    'a host name without uts',
    { hostname: 'x' },
    /^hostname is given, but linux\.namespaces has no uts namespace$/,
  ],
  [
    'a bind without a source',
    { mounts: [{ destination: '/x', type: 'bind' }] },
    /^mount \/x has source "", which is not absolute$/,
  ],
  [
    'an unknown bind option',
    { mounts: [{ destination: '/x', type: 'bind', source: '/y', options: ['bind', 'size=1'] }] },
    /^mount \/x has option "size", which is not supported$/,
  ],
  [
    'mappings of users alone',
    {
      mounts: [
        {
          destination: '/x',
          type: 'bind',
          source: '/y',
          options: ['bind'],
          uidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
        },
      ],
    },
    /^mount \/x has one of uidMappings and gidMappings, but not the other$/,
  ],
  [
    'a device that is not here',
    { linux: { devices: [{ type: 'c', path: '/dev/x', major: 9, minor: 9 }] } },
    /^device \/dev\/x \(c 9:9\) is not on this host$/,
  ],
  [
    'a sysctl that climbs',
    { linux: { sysctl: { '../../x': '1' } } },
    /^linux\.sysctl has "\.\.\/\.\.\/x", which is not a sysctl$/,
  ],
  [
    'too many layers',
    {},
    /more than 256 layers$/,
    { lowerdirs: Array.from({ length: 257 }, () => handle('/l')) },
  ],
  [
    'too many log files',
    {},
    /^log\.max_files is 101/,
    { supervision: { ...plainShim, log: { path: '/l', maxSizeBytes: 0, maxFiles: 101 } } },
  ],
];

for (const [name, spec, message, more] of refusals) {
  test(`${name} is refused with a sentence that names it`, () => {
    assert.throws(() => compileContainer(input(spec, more), host), { name: 'SpecRefusal', message });
  });
}
