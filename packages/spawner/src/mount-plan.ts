import { posix } from 'node:path';
import type { RuntimeMount } from '@gantry/oci';
import { planCgroupMounts } from './cgroup-mounts.js';
import type { ContainerInput, HostFacts } from './container-plan.js';
import { parseMountOptions, propagationNamed, type MountOptions } from './mount-options.js';
import { writeDevices } from './device-plan.js';
import { writeBind, writeFilesystem, writeRemount, type MountIdMaps } from './mount-records.js';
import { mapText } from './namespace-plan.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';

const SHARED = propagationNamed('shared') ?? 0n;
const SLAVE = propagationNamed('slave') ?? 0n;

function hasNamespace(input: ContainerInput, kind: string): boolean {
  return input.spec.linux?.namespaces?.some(({ type }) => type === kind) === true;
}

function hasUserNamespace(input: ContainerInput): boolean {
  return input.userNamespace !== undefined || hasNamespace(input, 'user');
}

/** The maps that the mount has of its own. */
function readIdMaps(mount: RuntimeMount, target: string): MountIdMaps | undefined {
  const [uids, gids] = [mount.uidMappings ?? [], mount.gidMappings ?? []];
  if (uids.length === 0 && gids.length === 0) return undefined;
  if (uids.length === 0 || gids.length === 0)
    refuse(`mount ${target} has one of uidMappings and gidMappings, but not the other`);
  return {
    uids: mapText(uids, `mount ${target}: uidMappings`),
    gids: mapText(gids, `mount ${target}: gidMappings`),
  };
}

/**
 * In a user namespace nothing of the container may reach the host: shared is only what is mounted inside, and what the host
 * mounts still arrives.
 */
function spreadOf({ propagation }: MountOptions, input: ContainerInput): bigint {
  return propagation === SHARED && hasUserNamespace(input) ? SLAVE | SHARED : propagation;
}

function writeBindMount(
  plan: PlanWriter,
  mount: RuntimeMount,
  target: string,
  options: MountOptions,
  input: ContainerInput,
): void {
  const source = withoutNul(mount.source ?? '', 'mount source');
  if (!source.startsWith('/'))
    refuse(`mount ${target} has source ${JSON.stringify(source)}, which is not absolute`);
  for (const { key } of options.parameters) {
    // A bind takes none, and mount(2) drops them without a word: so configurations have them that work elsewhere.
    if (input.warn === undefined)
      refuse(`mount ${target} has option ${JSON.stringify(key)}, which is not supported`);
    input.warn(`mount ${target} has option ${JSON.stringify(key)}, which means nothing for a bind mount`);
  }
  const ids = readIdMaps(mount, target);
  const idmap = options.idmap || ids !== undefined;
  if (idmap && ids === undefined && !hasUserNamespace(input))
    refuse(`mount ${target} has option idmap, but neither mappings nor a user namespace to take them from`);
  const propagation = spreadOf(options, input);
  writeBind(plan, source, target, { ...options, idmap, propagation }, false, ids);
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
  // A file system mounted in the host's cgroup namespace would show the whole machine's.
  const sharesHost = !hasNamespace(input, 'cgroup');
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
  const options = parseMountOptions(mount.options ?? [], target);
  if (options.remount) return writeRemount(plan, target, options);
  if (options.bind || mount.type === 'bind') return writeBindMount(plan, mount, target, options, input);
  const type = withoutNul(mount.type ?? '', 'mount type');
  if (type === '' || type === 'none') refuse(`mount ${target} has no type`);
  if (options.copyUp && type !== 'tmpfs')
    refuse(`mount ${target} has option tmpcopyup, which is for a tmpfs`);
  if (options.idmap || readIdMaps(mount, target) !== undefined)
    refuse(`mount ${target} is to be id-mapped, which is for bind mounts`);
  if (type === 'cgroup' || type === 'cgroup2') return writeCgroupMounts(plan, input, host, target, options);
  writeFilesystem(plan, {
    type,
    source: withoutNul(mount.source ?? '', 'mount source'),
    target,
    attributes: options.set,
    parameters: options.parameters,
    tolerated: false,
    copyUp: options.copyUp,
    propagation: options.propagation,
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
  if (!ownDev) writeDevices(plan, input.spec.linux ?? {}, host, hasUserNamespace(input));
}
