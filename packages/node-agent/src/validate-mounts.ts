import { statSync } from 'node:fs';
import { resolveInside } from '@gantry/oci';
import type { node } from '@gantry/protocol';
import type { MountRecord } from './record.js';
import { refusal } from './refuse.js';
import { isVolumeName, newVolumeName } from './volume-store.js';

const PROPAGATIONS = new Set(['', 'rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave']);

function refuse(message: string): never {
  throw refusal('invalid_argument', 'CreateContainer', '', message);
}

function cleanTarget(target: string): string {
  if (!target.startsWith('/')) refuse(`mount target ${JSON.stringify(target)} is not an absolute path`);
  if (target.includes('\0')) refuse('a mount target holds a NUL character');
  const clean = resolveInside('/', target);
  if (clean === '/') refuse('nothing can be mounted over the whole root file system');
  if (clean === '/proc' || clean.startsWith('/proc/'))
    refuse(`mount target ${clean} lies in /proc, which is the kernel's`);
  return clean;
}

function checkBindSource(mount: node.MountSpec): void {
  if (!mount.source.startsWith('/'))
    refuse(`bind source ${JSON.stringify(mount.source)} is not an absolute path`);
  const found = statSync(mount.source, { throwIfNoEntry: false });
  if (found === undefined && !mount.createSource) refuse(`bind source ${mount.source} does not exist`);
}

function parseMount(mount: node.MountSpec): MountRecord {
  const target = cleanTarget(mount.target);
  const base = {
    target,
    readOnly: mount.readOnly,
    anonymous: false,
    tmpfsSizeBytes: 0,
    tmpfsMode: 0,
    propagation: '',
  };
  if (mount.type !== 'tmpfs' && (mount.tmpfsSizeBytes > 0 || mount.tmpfsMode > 0))
    refuse(`mount at ${target} has tmpfs options but is of type ${mount.type}`);
  if (mount.type !== 'bind' && mount.propagation !== '')
    refuse(`mount at ${target} has a propagation but is no bind mount`);
  switch (mount.type) {
    case 'bind':
      checkBindSource(mount);
      if (!PROPAGATIONS.has(mount.propagation))
        refuse(`mount propagation ${JSON.stringify(mount.propagation)} at ${target} is not known`);
      return {
        ...base,
        type: 'bind',
        source: resolveInside('/', mount.source),
        propagation: mount.propagation,
      };
    case 'volume':
      if (mount.source === '') return { ...base, type: 'volume', source: newVolumeName(), anonymous: true };
      if (!isVolumeName(mount.source))
        refuse(
          `volume name ${JSON.stringify(mount.source)} is not letters, digits, _, . and - after a letter or digit`,
        );
      return { ...base, type: 'volume', source: mount.source };
    case 'tmpfs':
      if (mount.source !== '') refuse(`tmpfs at ${target} takes no source`);
      if (mount.tmpfsMode > 0o7777) refuse(`tmpfs mode at ${target} is not permission bits`);
      return {
        ...base,
        type: 'tmpfs',
        source: '',
        tmpfsSizeBytes: mount.tmpfsSizeBytes,
        tmpfsMode: mount.tmpfsMode || 0o1777,
      };
    default:
      return refuse(`mount type ${JSON.stringify(mount.type)} is not bind, volume or tmpfs`);
  }
}

/** Checks the mounts that were asked for and fills in names; makes nothing. */
export function resolveOwnMounts(mounts: readonly node.MountSpec[]): readonly MountRecord[] {
  const resolved = mounts.map(parseMount);
  const targets = new Set<string>();
  for (const { target } of resolved) {
    if (targets.has(target)) refuse(`two mounts have the target ${target}`);
    targets.add(target);
  }
  return resolved;
}

/** Own mounts, then what is taken from other containers, then a volume for every path the image wants one at. */
export function completeMounts(
  own: readonly MountRecord[],
  taken: readonly MountRecord[],
  imageVolumes: readonly string[],
): readonly MountRecord[] {
  const complete = new Map<string, MountRecord>();
  for (const target of imageVolumes)
    complete.set(target, {
      type: 'volume',
      source: newVolumeName(),
      target,
      readOnly: false,
      anonymous: true,
      tmpfsSizeBytes: 0,
      tmpfsMode: 0,
      propagation: '',
    });
  for (const mount of [...taken, ...own]) complete.set(mount.target, mount);
  return [...complete.values()];
}

/** `NAME[:ro|rw]` of --volumes-from. */
export function parseVolumesFrom(text: string): { readonly container: string; readonly readOnly: boolean } {
  const [container = '', mode, ...rest] = text.split(':');
  if (container === '' || rest.length > 0 || (mode !== undefined && mode !== 'ro' && mode !== 'rw'))
    refuse(`volumes-from ${JSON.stringify(text)} is not NAME, NAME:ro or NAME:rw`);
  return { container, readOnly: mode === 'ro' };
}
