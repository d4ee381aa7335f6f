import { join } from 'node:path';
import type { RuntimeResources } from '@gantry/oci';
import { readKernelFileIfPresent } from './cgroup-files.js';
import { restrictDevices } from './device-access.js';
import { readContainerRules } from './device-rules.js';
import { placeFor, type Place } from './hierarchies.js';
import { changeLimitsNow } from './limit-transaction.js';
import { asked } from './resource-numbers.js';
import { planResources } from './resource-plan.js';
import { hierarchiesOf, placesOf, type RuntimeCgroup } from './runtime-cgroup.js';
import { pathsOf } from './runtime-create.js';
import { updateScope } from './runtime-systemd.js';

/** Changes what is in `resources` and nothing else: all of it, or none, with one sentence thrown. */
export function updateCgroup(cgroup: RuntimeCgroup, resources: RuntimeResources): void {
  const places = placesOf(cgroup);
  const whole = withCurrentLimit(resources, places);
  const plan = planResources(whole, hierarchiesOf(places));
  if ('problem' in plan) throw new Error(plan.problem);
  refuseBelowUse(whole, places);
  const { devices = [] } = resources;
  const read = readContainerRules(devices);
  if ('problem' in read) throw new Error(read.problem);
  changeLimitsNow('the container', plan.writes, pathsOf(places));
  if (devices.length > 0 && !restrictDevices(places, read.rules))
    throw new Error('this machine offers no way to restrict devices');
  if (cgroup.scope !== undefined) updateScope(cgroup, whole);
}

/** v2's swap is counted from the memory limit, which may have been set earlier. */
function withCurrentLimit(resources: RuntimeResources, places: readonly Place[]): RuntimeResources {
  const { memory } = resources;
  const home = placeFor(places, 'memory');
  if (
    home?.hierarchy.kind !== 'v2' ||
    asked(memory?.swap) === undefined ||
    asked(memory?.limit) !== undefined
  )
    return resources;
  const current = Number(readKernelFileIfPresent(join(home.directory, 'memory.max')));
  return Number.isFinite(current) ? { ...resources, memory: { ...memory, limit: current } } : resources;
}

/** `checkBeforeUpdate`: v2 would kill to get below a new limit; v1 refuses by itself. */
function refuseBelowUse({ memory }: RuntimeResources, places: readonly Place[]): void {
  const limit = asked(memory?.limit);
  const home = placeFor(places, 'memory');
  if (memory?.checkBeforeUpdate !== true || limit === undefined || limit < 0n) return;
  if (home?.hierarchy.kind !== 'v2') return;
  const used = BigInt((readKernelFileIfPresent(join(home.directory, 'memory.current')) ?? '0').trim());
  if (limit < used)
    throw new Error(`memory.limit of the container cannot be set to ${limit}: it uses ${used}`);
}
