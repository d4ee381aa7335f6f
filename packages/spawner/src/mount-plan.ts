import { posix } from 'node:path';
import type { RuntimeMount } from '@gantry/oci';
import { planCgroupMounts } from './cgroup-mounts.js';
import type { ContainerInput, HostFacts } from './container-plan.js';
import { parseMountOptions, propagationNamed, type MountOptions } from './mount-options.js';
import { writeDevices } from './device-plan.js';
import { writeBind, writeFilesystem } from './mount-records.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { isPresent, refuse, withoutNul } from './refusal.js';

function writeCgroupMounts(
  plan: PlanWriter,
  input: ContainerInput,
  host: HostFacts,
  target: string,
  options: MountOptions,
): void {
  const paths = input.cgroups.map(({ path }) => path);
  const mounts = planCgroupMounts(paths, host.hierarchies, target);
  const single = mounts.length === 1;
  // A file system mounted in the host's cgroup namespace would show the whole machine's.
  const sharesHost = input.spec.linux?.namespaces?.some(({ type }) => type === 'cgroup') !== true;
  for (const { type, parameters, tolerated, target: at, own } of mounts) {
    if (sharesHost && own !== undefined) {
      writeBind(plan, own, at, options, tolerated);
      continue;
    }
    // The directory that v1's hierarchies are mounted in is made read-only when they are.
    const attributes = type === 'tmpfs' && !single ? options.set & ~1n : options.set;
    writeFilesystem(plan, { type, source: 'cgroup', target: at, attributes, parameters, tolerated });
  }
  if (!single && (options.set & 1n) !== 0n) plan.add(planTag.readonly, (record) => record.string(target));
}

function writeMount(plan: PlanWriter, mount: RuntimeMount, input: ContainerInput, host: HostFacts): void {
  // A relative one is beneath the root, as other runtimes have it.
  const target = posix.normalize(`/${withoutNul(mount.destination, 'mount destination')}`);
  if (isPresent(mount.uidMappings) || isPresent(mount.gidMappings))
    refuse(`mount ${target} has id mappings of its own, which are not supported (use the option idmap)`);
  const options = parseMountOptions(mount.options ?? [], target);
  const source = withoutNul(mount.source ?? '', 'mount source');
  if (options.bind || mount.type === 'bind') {
    if (!source.startsWith('/'))
      refuse(`mount ${target} has source ${JSON.stringify(source)}, which is not absolute`);
    if (options.parameters[0] !== undefined)
      refuse(
        `mount ${target} has option ${JSON.stringify(options.parameters[0].key)}, which is not supported`,
      );
    if (options.propagation === propagationNamed('shared') && input.userNamespace !== undefined)
      refuse(`mount ${target} has shared propagation, which a user namespace does not allow`);
    writeBind(plan, source, target, options);
    return;
  }
  const type = withoutNul(mount.type ?? '', 'mount type');
  if (type === '' || type === 'none') refuse(`mount ${target} has no type`);
  if (options.idmap) refuse(`mount ${target} has option idmap, which is for bind mounts`);
  if (type === 'cgroup' || type === 'cgroup2') return writeCgroupMounts(plan, input, host, target, options);
  writeFilesystem(plan, {
    type,
    source,
    target,
    attributes: options.set,
    parameters: options.parameters,
    tolerated: false,
  });
}

/** Everything that furnishes the root, in the order of the spec; devices after the mounts they lie in. */
export function writeMounts(plan: PlanWriter, input: ContainerInput, host: HostFacts): void {
  const mounts = input.spec.mounts ?? [];
  for (const mount of mounts) writeMount(plan, mount, input, host);
  const ownDev = mounts.some(
    ({ destination, type, options }) =>
      destination === '/dev' &&
      (type === 'bind' || options?.some((option) => option === 'bind' || option === 'rbind')),
  );
  if (!ownDev) writeDevices(plan, input.spec.linux ?? {}, host);
}
