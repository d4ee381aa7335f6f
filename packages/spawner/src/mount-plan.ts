import { posix } from 'node:path';
import type { RuntimeMount } from '@gantry/oci';
import { planCgroupMounts } from './cgroup-mounts.js';
import type { ContainerInput, HostFacts } from './container-plan.js';
import { parseMountOptions, propagationNamed, type MountOptions } from './mount-options.js';
import { writeDevices } from './device-plan.js';
import { mountFlag, planTag, type PlanWriter } from './plan-format.js';
import { isPresent, refuse, withoutNul } from './refusal.js';

const PRIVATE = propagationNamed('private') ?? 0n;

function writeFilesystem(
  plan: PlanWriter,
  mount: {
    type: string;
    source: string;
    target: string;
    attributes: bigint;
    parameters: MountOptions['parameters'];
    tolerated: boolean;
  },
): void {
  plan.add(planTag.mountFilesystem, (record) => {
    record.string(mount.type).string(mount.source).string(mount.target);
    record
      .u32(mount.tolerated ? mountFlag.tolerated : 0)
      .u64(mount.attributes)
      .u32(mount.parameters.length);
    for (const { key, value } of mount.parameters)
      record
        .u32(value === undefined ? 0 : 1)
        .string(withoutNul(key, 'mount option'))
        .string(withoutNul(value ?? '', 'mount option'));
  });
}

export function writeBind(
  plan: PlanWriter,
  source: string,
  target: string,
  options: MountOptions,
  tolerated = false,
): void {
  const flags =
    (options.recursive ? mountFlag.recursive : 0) |
    (options.idmap ? mountFlag.idmap : 0) |
    (options.recursiveAttributes ? mountFlag.recursiveAttributes : 0) |
    (tolerated ? mountFlag.tolerated : 0);
  const propagation = options.propagation === 0n ? PRIVATE : options.propagation;
  plan.add(planTag.mountBind, (record) =>
    record.string(source).string(target).u32(flags).u64(options.set).u64(options.clear).u64(propagation),
  );
}

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
  for (const { type, parameters, tolerated, target: at } of mounts) {
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
