import type { RuntimeSpec } from '@gantry/oci';
import { writeNetworkDevices } from './network-devices.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';
import { ownSysctlPath } from './sysctl-rules.js';
import { writeTimeOffsets } from './time-offsets.js';

/** Bits of clone(2) that the rules here ask about. */
const CLONE = { time: 0x80n, uts: 0x4000000n, ipc: 0x8000000n, user: 0x10000000n, network: 0x40000000n };
const LONGEST_NAME = 64;

function writeNames(
  plan: PlanWriter,
  names: { readonly hostname?: string | undefined; readonly domainname?: string | undefined },
  hasUts: boolean,
): void {
  for (const [key, tag] of [
    ['hostname', planTag.hostname],
    ['domainname', planTag.domainname],
  ] as const) {
    const name = names[key];
    if (name === undefined || name === '') continue;
    if (!hasUts) refuse(`${key} is given, but linux.namespaces has no uts namespace`);
    if (Buffer.byteLength(name) > LONGEST_NAME) refuse(`${key} is longer than ${LONGEST_NAME} bytes`);
    plan.add(tag, (record) => record.string(withoutNul(name, key)));
  }
}

/**
 * What is set in the container's own namespaces: sysctls, names, clock offsets, network devices. `own`: namespaces that are not
 * the host's; `created`: those of them that init makes. `hostNetwork`: the network namespace's path is that of the host's own.
 */
export function writeKernelSettings(
  plan: PlanWriter,
  spec: RuntimeSpec,
  { own, created }: { readonly own: bigint; readonly created: bigint },
  hostNetwork: boolean,
): void {
  const linux = spec.linux ?? {};
  const has = (flag: bigint): boolean => (own & flag) !== 0n;
  const network = has(CLONE.network) && !hostNetwork;
  const kinds = { ipc: has(CLONE.ipc), network, uts: has(CLONE.uts), user: has(CLONE.user) };
  let { domainname } = spec;
  for (const [key, value] of Object.entries(linux.sysctl ?? {})) {
    const path = ownSysctlPath(key, kinds);
    // The file belongs to the host's root even in another's uts namespace; the system call asks the namespace's owner.
    if (path === 'kernel/domainname') {
      if (domainname !== undefined && domainname !== '' && domainname !== value)
        refuse(`linux.sysctl ${key} contradicts domainname`);
      domainname = value;
      continue;
    }
    plan.add(planTag.sysctl, (record) =>
      record.string(path).string(withoutNul(value, `linux.sysctl ${key}`)),
    );
  }
  writeNames(plan, { hostname: spec.hostname, domainname }, kinds.uts);
  writeTimeOffsets(plan, linux.timeOffsets ?? {}, (created & CLONE.time) !== 0n);
  writeNetworkDevices(plan, linux.netDevices ?? {}, network);
}
