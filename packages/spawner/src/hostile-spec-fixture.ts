// Configurations that nobody should write, for tests: of the runtime-spec's shape, but with anything anywhere.
import fc from 'fast-check';
import { parseLossless, stringifyLossless } from '@gantry/oci';

/** What a property holds by the runtime-spec's JSON schema. */
type Kind =
  | { readonly words: readonly string[] }
  | { readonly integers: readonly (number | bigint)[] }
  | { readonly boolean: true }
  | { readonly list: Kind }
  | { readonly map: Kind }
  | { readonly object: Readonly<Record<string, Kind>> };

const words = (...list: string[]): Kind => ({ words: list });
const integers = (...list: (number | bigint)[]): Kind => ({ integers: list });
const list = (of: Kind): Kind => ({ list: of });
const object = (of: Readonly<Record<string, Kind>>): Kind => ({ object: of });
const flag: Kind = { boolean: true };
const path = words('/', '/a', '/dev/x', '/proc/sys', '../..', 'a', '');
const id = integers(0, 1, 1000, 65534, 4294967295);
const strings = list(words('a', 'PATH=/bin', 'A=B', ''));

const capabilities = list(words('CAP_CHOWN', 'CAP_SYS_ADMIN', 'cap_chown', 'CAP_NONE'));
const hooks = list(object({ path, args: strings, env: strings, timeout: integers(1, 0, 30) }));
const mappings = list(object({ containerID: id, hostID: id, size: integers(1, 65536, 0) }));
const action = words(
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_NOTIFY',
  'SCMP_ACT_KILL',
  'SCMP_ACT_TRACE',
);

const process = object({
  terminal: flag,
  consoleSize: object({ height: integers(24, 0, 65535), width: integers(80, 0, 65535) }),
  user: object({ uid: id, gid: id, umask: integers(0, 18, 511, 4096), additionalGids: list(id) }),
  args: list(words('sh', '/bin/true', '')),
  env: strings,
  cwd: path,
  capabilities: object({
    bounding: capabilities, effective: capabilities, inheritable: capabilities, permitted: capabilities, ambient: capabilities,
  }),
  rlimits: list(
    object({
      type: words('RLIMIT_NOFILE', 'RLIMIT_CORE', 'NOFILE'),
      soft: integers(0, 1024, 2n ** 64n - 1n),
      hard: integers(1024, 2n ** 64n - 1n, 2n ** 63n),
    }),
  ),
  noNewPrivileges: flag,
  oomScoreAdj: integers(0, -1000, 1000, 1001),
  apparmorProfile: words('', 'unconfined', 'docker-default'),
  selinuxLabel: words('', 'system_u:system_r:t:s0'),
  scheduler: object({
    policy: words('SCHED_OTHER', 'SCHED_FIFO', 'SCHED_DEADLINE', 'SCHED_X'),
    nice: integers(0, -20, 19, 20),
    priority: integers(0, 1, 99, 100),
    flags: list(words('SCHED_FLAG_RESET_ON_FORK', 'X')),
    runtime: integers(0, 1000000, 2n ** 64n - 1n),
    deadline: integers(0, 2000000),
    period: integers(0, 2000000),
  }),
  ioPriority: object({ class: words('IOPRIO_CLASS_BE', 'IOPRIO_CLASS_RT', 'X'), priority: integers(0, 7, 8) }),
  execCPUAffinity: object({ initial: words('0', '0-1', ',', '9999999'), final: words('0', 'x') }),
}); // prettier-ignore

const linux = object({
  namespaces: list(
    object({
      type: words('pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time', 'x'),
      path: words('', '/proc/1/ns/net', 'x'),
    }),
  ),
  uidMappings: mappings,
  gidMappings: mappings,
  timeOffsets: { map: object({ secs: integers(0, -1, 2n ** 62n), nanosecs: integers(0, 999999999, 1000000000) }) },
  devices: list(
    object({
      type: words('c', 'b', 'u', 'p', 'x'),
      path, major: integers(1, -1, 4096), minor: integers(3, -1), fileMode: integers(0, 438), uid: id, gid: id,
    }),
  ),
  sysctl: { map: words('1', '0 1', '') },
  seccomp: object({
    defaultAction: action,
    defaultErrnoRet: integers(0, 1, 4096),
    architectures: list(words('SCMP_ARCH_X86_64', 'SCMP_ARCH_S390X', 'X')),
    flags: list(words('SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_TSYNC', 'X')),
    listenerPath: path,
    listenerMetadata: words('', 'x'),
    syscalls: list(
      object({
        names: list(words('read', 'socket', 'clone', 'nothing', '')),
        action,
        errnoRet: integers(0, 1),
        args: list(
          object({
            index: integers(0, 5, 6),
            value: integers(0, 2n ** 64n - 1n),
            valueTwo: integers(0, 1),
            op: words('SCMP_CMP_EQ', 'SCMP_CMP_MASKED_EQ', 'X'),
          }),
        ),
      }),
    ),
  }),
  rootfsPropagation: words('private', 'shared', 'slave', 'unbindable', 'x', ''),
  maskedPaths: list(path),
  readonlyPaths: list(path),
  mountLabel: words('', 'system_u:object_r:t:s0'),
  personality: object({ domain: words('LINUX', 'LINUX32', 'X'), flags: list(words('X')) }),
  memoryPolicy: object({
    mode: words('MPOL_BIND', 'MPOL_DEFAULT', 'X'),
    nodes: words('0', '0-1', 'x'),
    flags: list(words('MPOL_F_STATIC_NODES', 'X')),
  }),
  netDevices: { map: object({ name: words('eth0', '', 'a/b', 'longer-than-any-interface') }) },
  intelRdt: object({ closID: words('', 'a') }),
  cgroupsPath: words('', '/a', 'a:b:c'),
  resources: object({
    memory: object({ limit: integers(-1, 2n ** 63n - 1n) }),
    cpu: object({ shares: integers(2, 1024) }),
    pids: object({ limit: integers(0, -1, 10) }),
    unified: { map: words('max', '1') },
    devices: list(object({ allow: flag, type: words('a', 'c'), major: integers(1), access: words('rwm') })),
  }),
}); // prettier-ignore

const config = object({
  ociVersion: words('1.3.0', '9', ''),
  process,
  root: object({ path: words('/rootfs', 'rootfs', ''), readonly: flag }),
  hostname: words('box', '', 'x'.repeat(65)),
  domainname: words('example', ''),
  mounts: list(
    object({
      destination: path,
      type: words('proc', 'tmpfs', 'bind', 'cgroup', 'none', ''),
      source: path,
      options: list(words('ro', 'rbind', 'idmap', 'ridmap=uids=0-0-1', 'size=1m', 'tmpcopyup', 'rro', 'mode=x', '')),
      uidMappings: mappings,
      gidMappings: mappings,
    }),
  ),
  hooks: object({
    prestart: hooks, createRuntime: hooks, createContainer: hooks, startContainer: hooks, poststart: hooks, poststop: hooks,
  }),
  annotations: { map: words('x', '') },
  linux,
}); // prettier-ignore

function deep(depth: number): unknown {
  let value: unknown = {};
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

const HOSTILE: readonly unknown[] = [
  null, true, false, 0, -1, 0.5, -0.5, 1e300, 2 ** 31, 2 ** 32, 2 ** 53, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), 10n ** 30n,
  '', '\0', 'a\0b', '/a\0', '\ud800', '\udfff/', '\n', '..', '/', '../../../..', '__proto__', 'constructor', 'toString', 'hasOwnProperty',
  '\u202e', 'é'.repeat(300), 'x'.repeat(70_000), '%s%n', '-1', '1e9',
  [], {}, [null], [[]], ['\0'], [{}], [0], Array(2000).fill('a'), deep(500), parseLossless('{"__proto__":{"x":1}}'), { constructor: 1, toString: null, length: -1 },
]; // prettier-ignore

const hostile = fc.constantFrom(...HOSTILE);
const keys = fc.constantFrom('net.ipv4.ip_forward', 'kernel.x', 'eth0', 'monotonic', 'boottime', '__proto__', 'constructor', '', 'a\0', '../x'); // prettier-ignore

/** Mostly what the schema says; now and then something else. */
function anyOf(kind: Kind): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 40, arbitrary: properOf(kind) }, { weight: 1, arbitrary: hostile });
}

function properOf(kind: Kind): fc.Arbitrary<unknown> {
  if ('words' in kind) return fc.constantFrom(...kind.words);
  if ('integers' in kind) return fc.constantFrom(...kind.integers);
  if ('boolean' in kind) return fc.boolean();
  if ('list' in kind) return fc.array(anyOf(kind.list), { maxLength: 3 });
  if ('map' in kind)
    return fc
      .array(fc.tuple(keys, anyOf(kind.map)), { maxLength: 3 })
      .map((pairs) => Object.fromEntries(pairs));
  return fc.record(
    Object.fromEntries(Object.entries(kind.object).map(([key, inner]) => [key, anyOf(inner)])),
    { requiredKeys: [] },
  );
}

/** Texts of whole configurations. */
export const hostileConfigs = properOf(config).map((value) => stringifyLossless(value));
/** Texts of an exec's process. */
export const hostileProcesses = properOf(process).map((value) => stringifyLossless(value));

interface Place {
  readonly holder: Record<string, unknown>;
  readonly key: string;
}

function places(value: unknown, found: Place[] = []): Place[] {
  if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      found.push({ holder: value as Record<string, unknown>, key });
      places(inner, found);
    }
  return found;
}

type Change = readonly [where: number, what: 'replace' | 'remove' | 'wrap' | 'double', value: unknown];
const change: fc.Arbitrary<Change> = fc.tuple(
  fc.nat(),
  fc.constantFrom(
    'replace' as const,
    'replace' as const,
    'remove' as const,
    'wrap' as const,
    'double' as const,
  ),
  hostile,
);

function apply(root: unknown, [where, what, value]: Change): void {
  const all = places(root);
  const place = all[where % all.length];
  if (place === undefined) return;
  const { holder, key } = place;
  if (what === 'replace') holder[key] = structuredClone(value);
  else if (what === 'remove') Reflect.deleteProperty(holder, key);
  else if (what === 'wrap') holder[key] = [holder[key]];
  else if (Array.isArray(holder)) holder.push(holder[Number(key)]);
}

/** A good configuration with a few places changed: one step into nearly everything that is judged. */
export function changedConfigs(good: object): fc.Arbitrary<string> {
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) => {
    const copy = parseLossless(stringifyLossless(good));
    for (const one of changes) apply(copy, one);
    return stringifyLossless(copy);
  });
}

/** The bytes of something good with a few flipped, cut out or doubled. */
export function damagedBytes(good: Uint8Array): fc.Arbitrary<Buffer> {
  const damage = fc.tuple(
    fc.nat(good.length - 1),
    fc.constantFrom('flip', 'cut', 'double', 'set'),
    fc.nat(255),
  );
  return fc.array(damage, { minLength: 1, maxLength: 4 }).map((damages) => {
    let bytes = Buffer.from(good);
    for (const [where, how, value] of damages) {
      const at = where % Math.max(bytes.length, 1);
      if (how === 'flip') bytes[at] = (bytes[at] ?? 0) ^ (1 << (value % 8));
      else if (how === 'set') bytes[at] = value;
      else if (how === 'cut')
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + (value % 16))]);
      else bytes = Buffer.concat([bytes.subarray(0, at + (value % 16)), bytes.subarray(at)]);
    }
    return bytes;
  });
}
