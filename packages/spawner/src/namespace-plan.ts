import type { RuntimeIdMapping, RuntimeSpec } from '@gantry/oci';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';

/** Bits of clone(2). */
export const namespaceFlag = Object.freeze({
  time: 0x80n,
  mount: 0x20000n,
  cgroup: 0x2000000n,
  uts: 0x4000000n,
  ipc: 0x8000000n,
  user: 0x10000000n,
  pid: 0x20000000n,
  network: 0x40000000n,
});

/** The kernel takes at most this many lines in uid_map(5). */
const MOST_MAPPINGS = 340;
const MAP_UID = 1;
const MAP_GID = 2;

/** Namespaces of a container by how it comes into them. */
export interface NamespacePlan {
  /** Init is cloned into new ones of these. */
  readonly created: bigint;
  /** All that the container has apart from the host's, for exec to join. */
  readonly own: bigint;
  /** Joined by path; `user` first. */
  readonly joined: readonly { readonly flag: bigint; readonly path: string }[];
  /** A new user namespace with the spec's mappings. */
  readonly newUser: boolean;
}

/**
 * `given`: those that come as handles with the request, whatever the spec says of them. `hostMounts`: the container may be without a
 * mount namespace, its mounts then being the host's. Pure; throws SpecRefusal.
 */
export function planNamespaces(
  spec: RuntimeSpec,
  given: { readonly user: boolean; readonly network: boolean; readonly hostMounts?: boolean },
): NamespacePlan {
  let created = 0n;
  let own = 0n;
  let newUser = false;
  const joined: { flag: bigint; path: string }[] = [];
  for (const { type, path } of spec.linux?.namespaces ?? []) {
    if (!Object.hasOwn(namespaceFlag, type))
      refuse(`linux.namespaces has ${JSON.stringify(type)}, which is not a namespace`);
    const flag = namespaceFlag[type];
    if ((own & flag) !== 0n) refuse(`linux.namespaces has ${type} twice`);
    own |= flag;
    if ((type === 'user' && given.user) || (type === 'network' && given.network)) continue;
    if (path !== undefined && path !== '') {
      if (!path.startsWith('/'))
        refuse(`linux.namespaces joins ${type} by ${JSON.stringify(path)}, which is not an absolute path`);
      joined.push({ flag, path: withoutNul(path, 'linux.namespaces') });
    } else if (type === 'user') newUser = true;
    else created |= flag;
  }
  if ((own & namespaceFlag.mount) === 0n) {
    if (given.hostMounts !== true) refuse('linux.namespaces has no mount namespace');
    // What is mounted belongs to the user namespace that its mount namespace does.
    if ((own & namespaceFlag.user) !== 0n || given.user)
      refuse('linux.namespaces has a user namespace, but no mount namespace that would be its own');
  }
  if (given.user) own |= namespaceFlag.user;
  if (given.network) own |= namespaceFlag.network;
  joined.sort((a, b) => Number(b.flag === namespaceFlag.user) - Number(a.flag === namespaceFlag.user));
  return { created, own, joined, newUser };
}

/** Lines of uid_map(5); `key` names the mappings in a refusal. */
export function mapText(mappings: readonly RuntimeIdMapping[], key: string): string {
  if (mappings.length > MOST_MAPPINGS) refuse(`${key} has more than ${MOST_MAPPINGS} mappings`);
  const inRange = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  return mappings
    .map(({ containerID, hostID, size }) => {
      if (!inRange(containerID) || !inRange(hostID) || !inRange(size) || size === 0)
        refuse(`${key} has ${containerID} ${hostID} ${size}, which is not a range of ids`);
      return `${containerID} ${hostID} ${size}\n`;
    })
    .join('');
}

function namespaceMap(mappings: readonly RuntimeIdMapping[] | undefined, key: string): string {
  if (mappings === undefined || mappings.length === 0)
    return refuse(`linux.namespaces has a new user namespace, but linux.${key} is empty`);
  return mapText(mappings, `linux.${key}`);
}

/** Records of the namespaces that are not handed over; before everything that is id-mapped to the user namespace. */
export function writeNamespaces(plan: PlanWriter, spec: RuntimeSpec, namespaces: NamespacePlan): void {
  plan.add(planTag.newNamespaces, (record) => record.u64(namespaces.created));
  for (const { flag, path } of namespaces.joined)
    plan.add(planTag.namespacePath, (record) => record.u64(flag).string(path));
  const { uidMappings, gidMappings } = spec.linux ?? {};
  if (namespaces.newUser) {
    plan
      .add(planTag.idMap, (record) => record.u32(MAP_UID).string(namespaceMap(uidMappings, 'uidMappings')))
      .add(planTag.idMap, (record) => record.u32(MAP_GID).string(namespaceMap(gidMappings, 'gidMappings')));
  } else if (
    (namespaces.own & namespaceFlag.user) === 0n &&
    ((uidMappings?.length ?? 0) > 0 || (gidMappings?.length ?? 0) > 0)
  ) {
    refuse('linux.uidMappings or linux.gidMappings is given, but linux.namespaces has no user namespace');
  }
}
