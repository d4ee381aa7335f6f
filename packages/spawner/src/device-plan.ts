import { posix } from 'node:path';
import type { RuntimeDevice, RuntimeLinux } from '@gantry/oci';
import type { HostFacts } from './container-plan.js';
import { parseMountOptions } from './mount-options.js';
import { writeBind } from './mount-records.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';

const DEFAULT_DEVICES: readonly (readonly [string, number, number])[] = [
  ['/dev/null', 1, 3],
  ['/dev/zero', 1, 5],
  ['/dev/full', 1, 7],
  ['/dev/random', 1, 8],
  ['/dev/urandom', 1, 9],
  ['/dev/tty', 5, 0],
];

const LINKS: readonly (readonly [string, string])[] = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
  ['pts/ptmx', '/dev/ptmx'],
];

/** stat(2)'s words for what a node is. */
const KIND_MODE: ReadonlyMap<string, number> = new Map([
  ['c', 0o020000],
  ['u', 0o020000],
  ['b', 0o060000],
  ['p', 0o010000],
]);
const ORDINARY_MODE = 0o666;
const ASKED_FOR = 1;

interface DeviceNode {
  readonly path: string;
  /** The host's own node; "" when it has none. */
  readonly source: string;
  readonly kindMode: number;
  readonly major: number;
  readonly minor: number;
}

function writeNode(plan: PlanWriter, node: DeviceNode, asked: RuntimeDevice | undefined): void {
  const { path, source, kindMode, major, minor } = node;
  const inRange = (value: unknown, name: string, most: number): number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most
      ? value
      : refuse(`device ${path} has ${name} ${JSON.stringify(value)}`);
  // Some hand over the whole of st_mode.
  const mode = inRange(asked?.fileMode ?? ORDINARY_MODE, 'fileMode', 0xffff_ffff) & 0o7777;
  const uid = inRange(asked?.uid ?? 0, 'uid', 0xffff_fffe);
  const gid = inRange(asked?.gid ?? 0, 'gid', 0xffff_fffe);
  plan.add(planTag.device, (record) =>
    record
      .string(path)
      .string(source)
      .u32(asked === undefined ? 0 : ASKED_FOR)
      .u32(kindMode | mode)
      .u32(major)
      .u32(minor)
      .u32(uid)
      .u32(gid),
  );
}

function readNode(device: RuntimeDevice, host: HostFacts): DeviceNode {
  const given = withoutNul(device.path, 'device path');
  if (!given.startsWith('/')) refuse(`device path ${JSON.stringify(given)} is not absolute`);
  const path = posix.normalize(given).replace(/(?<=.)\/$/, '');
  if (path === '/') refuse(`device path ${JSON.stringify(given)} is that of the root`);
  const kindMode =
    KIND_MODE.get(device.type) ??
    refuse(`device ${path} is of type ${JSON.stringify(device.type)}, which is not known`);
  if (device.type === 'p') return { path, source: '', kindMode, major: 0, minor: 0 };
  const { major, minor } = device;
  const inRange = (value: number | undefined): value is number =>
    value !== undefined && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  if (!inRange(major) || !inRange(minor))
    return refuse(`device ${path} has the numbers ${major}:${minor}, which are none`);
  const source = host.findDevice(device.type === 'b' ? 'b' : 'c', major, minor) ?? '';
  return { path, source, kindMode, major, minor };
}

/**
 * Nodes are made; with `bound` (a user namespace cannot make any that work) the host's are bound instead, with the mode and
 * owner that they have there.
 */
export function writeDevices(plan: PlanWriter, linux: RuntimeLinux, host: HostFacts, bound: boolean): void {
  const plain = parseMountOptions(['nosuid', 'noexec'], '/dev');
  const done = new Set<string>();
  for (const device of linux.devices ?? []) {
    const node = readNode(device, host);
    done.add(node.path);
    if (!bound || device.type === 'p') writeNode(plan, node, device);
    else if (node.source === '')
      refuse(`device ${node.path} (${device.type} ${node.major}:${node.minor}) is not on this host`);
    else writeBind(plan, node.source, node.path, plain);
  }
  for (const [path, major, minor] of DEFAULT_DEVICES) {
    if (done.has(path)) continue;
    if (bound) writeBind(plan, path, path, plain);
    else writeNode(plan, { path, source: path, kindMode: 0o020000, major, minor }, undefined);
  }
  for (const [target, path] of LINKS) plan.add(planTag.link, (record) => record.string(target).string(path));
}
