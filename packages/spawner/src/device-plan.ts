import type { RuntimeLinux } from '@gantry/oci';
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

/** Host nodes are bound: a user namespace cannot make device nodes that work, and elsewhere it comes to the same. */
export function writeDevices(plan: PlanWriter, linux: RuntimeLinux, host: HostFacts): void {
  const plain = parseMountOptions(['nosuid', 'noexec'], '/dev');
  const done = new Set<string>();
  for (const device of linux.devices ?? []) {
    const path = withoutNul(device.path, 'device path');
    if (!path.startsWith('/')) refuse(`device path ${JSON.stringify(path)} is not absolute`);
    if (device.type !== 'c' && device.type !== 'u' && device.type !== 'b')
      refuse(`device ${path} is of type ${JSON.stringify(device.type)}, which is not supported`);
    const [major, minor] = [device.major ?? -1, device.minor ?? -1];
    const source =
      host.findDevice(device.type === 'b' ? 'b' : 'c', major, minor) ??
      refuse(`device ${path} (${device.type} ${major}:${minor}) is not on this host`);
    done.add(path);
    writeBind(plan, source, path, plain);
  }
  for (const [path] of DEFAULT_DEVICES) if (!done.has(path)) writeBind(plan, path, path, plain);
  for (const [target, path] of LINKS) plan.add(planTag.link, (record) => record.string(target).string(path));
}
