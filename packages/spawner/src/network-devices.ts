import type { RuntimeLinux } from '@gantry/oci';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse } from './refusal.js';

const LONGEST_NAME = 15;

/** What dev_valid_name() of the kernel takes. */
function deviceName(name: string): string {
  if (
    name === '' ||
    Buffer.byteLength(name) > LONGEST_NAME ||
    name === '.' ||
    name === '..' ||
    /[/:\s\0]/.test(name)
  )
    refuse(`linux.netDevices has ${JSON.stringify(name)}, which is not the name of a network device`);
  return name;
}

/** Devices that move into the container's network namespace, which must not be the host's. */
export function writeNetworkDevices(
  plan: PlanWriter,
  devices: NonNullable<RuntimeLinux['netDevices']>,
  ownNetwork: boolean,
): void {
  const taken = new Set<string>();
  for (const [device, { name }] of Object.entries(devices)) {
    if (!ownNetwork)
      refuse(`linux.netDevices has ${device}, but linux.namespaces has no network namespace to move it to`);
    const inside = deviceName(name === undefined || name === '' ? device : name);
    // `eth%d` is a template: the kernel finds a free number.
    if (taken.has(inside) && !inside.includes('%d')) refuse(`linux.netDevices names two devices ${inside}`);
    taken.add(inside);
    plan.add(planTag.networkDevice, (record) => record.string(deviceName(device)).string(inside));
  }
}
