import { refuse } from './refusal.js';

/** mount(8)'s words, as mount_setattr(2) and fsconfig(2) take them. */
export interface MountOptions {
  readonly bind: boolean;
  readonly recursive: boolean;
  readonly idmap: boolean;
  /** MOUNT_ATTR_* to set and to clear. */
  readonly set: bigint;
  readonly clear: bigint;
  /** Those of them that reach the mounts beneath, too (`rro` and the like). */
  readonly recursiveSet: bigint;
  readonly recursiveClear: bigint;
  /** Changes what is mounted there already. */
  readonly remount: boolean;
  /** A tmpfs that begins with what it covers. */
  readonly copyUp: boolean;
  /** MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; 0 when not said. */
  readonly propagation: bigint;
  /** The file system's own parameters, in their order; a flag has no value. */
  readonly parameters: readonly { readonly key: string; readonly value: string | undefined }[];
}

const RDONLY = 0x1n;
const NOSUID = 0x2n;
const NODEV = 0x4n;
const NOEXEC = 0x8n;
const ATIME_MASK = 0x70n;
const NOATIME = 0x10n;
const STRICTATIME = 0x20n;
const NODIRATIME = 0x80n;
const NOSYMFOLLOW = 0x200000n;

/** word → [set, clear]; the access time modes are one field, cleared as a whole. */
const ATTRIBUTES: ReadonlyMap<string, readonly [bigint, bigint]> = new Map([
  ['ro', [RDONLY, 0n]],
  ['rw', [0n, RDONLY]],
  ['nosuid', [NOSUID, 0n]],
  ['suid', [0n, NOSUID]],
  ['nodev', [NODEV, 0n]],
  ['dev', [0n, NODEV]],
  ['noexec', [NOEXEC, 0n]],
  ['exec', [0n, NOEXEC]],
  ['nodiratime', [NODIRATIME, 0n]],
  ['diratime', [0n, NODIRATIME]],
  ['noatime', [NOATIME, ATIME_MASK]],
  ['strictatime', [STRICTATIME, ATIME_MASK]],
  // Relative times are the kernel's mode when no other is asked for.
  ['relatime', [0n, ATIME_MASK]],
  ['atime', [0n, ATIME_MASK]],
  ['nostrictatime', [0n, ATIME_MASK]],
  ['norelatime', [0n, 0n]],
  ['nosymfollow', [NOSYMFOLLOW, 0n]],
  ['symfollow', [0n, NOSYMFOLLOW]],
]);

const PROPAGATION: ReadonlyMap<string, bigint> = new Map([
  ['unbindable', 1n << 17n],
  ['private', 1n << 18n],
  ['slave', 1n << 19n],
  ['shared', 1n << 20n],
]);

/** For mount(8) alone, or long without a meaning to the kernel: mandatory locks are gone, versions of inodes always kept. */
const WITHOUT_EFFECT = new Set([
  'defaults',
  'nofail',
  'loud',
  'silent',
  'noauto',
  'auto',
  'mand',
  'nomand',
  'iversion',
  'noiversion',
]);
/** Of a whole file system, so that a bind mount has them from its source: word → the one that it takes back. */
const OF_SUPERBLOCK: ReadonlyMap<string, string | undefined> = new Map([
  ['sync', undefined],
  ['async', 'sync'],
  ['dirsync', undefined],
  ['lazytime', undefined],
  ['nolazytime', 'lazytime'],
]);

export function propagationNamed(word: string): bigint | undefined {
  return PROPAGATION.get(word) ?? (word.startsWith('r') ? PROPAGATION.get(word.slice(1)) : undefined);
}

/** Later words win over earlier ones, as with mount(8). */
export function parseMountOptions(options: readonly string[], destination: string): MountOptions {
  let [set, clear, recursiveSet, recursiveClear, propagation] = [0n, 0n, 0n, 0n, 0n];
  let [bind, recursive, idmap, remount, copyUp] = [false, false, false, false, false];
  const parameters: { key: string; value: string | undefined }[] = [];
  for (const option of options) {
    const attribute =
      ATTRIBUTES.get(option) ?? (option.startsWith('r') ? ATTRIBUTES.get(option.slice(1)) : undefined);
    const spread = propagationNamed(option);
    if (option === 'bind' || option === 'rbind') [bind, recursive] = [true, recursive || option === 'rbind'];
    else if (option === 'remount') remount = true;
    else if (option === 'tmpcopyup') copyUp = true;
    else if (option === 'idmap' || option === 'ridmap') idmap = true;
    else if (spread !== undefined) propagation = spread;
    else if (attribute !== undefined) {
      const [on, off] = attribute;
      [set, clear] = [(set & ~off) | on, (clear & ~on) | off];
      if (!ATTRIBUTES.has(option))
        [recursiveSet, recursiveClear] = [(recursiveSet & ~off) | on, (recursiveClear & ~on) | off];
    } else if (!WITHOUT_EFFECT.has(option)) {
      const taken = OF_SUPERBLOCK.get(option);
      const earlier = taken === undefined ? -1 : parameters.findIndex(({ key }) => key === taken);
      if (earlier >= 0) parameters.splice(earlier, 1);
      const equals = option.indexOf('=');
      parameters.push(
        equals < 0
          ? { key: option, value: undefined }
          : { key: option.slice(0, equals), value: option.slice(equals + 1) },
      );
    }
  }
  // mount_setattr wants the whole access time field cleared before a mode is set.
  if ((set & ATIME_MASK) !== 0n) clear |= ATIME_MASK;
  if ((recursiveSet & ATIME_MASK) !== 0n) recursiveClear |= ATIME_MASK;
  if (copyUp && bind) refuse(`mount ${destination} has option tmpcopyup, which is for a tmpfs`);
  return Object.freeze({
    bind,
    recursive,
    idmap,
    set,
    clear,
    recursiveSet,
    recursiveClear,
    remount,
    copyUp,
    propagation,
    parameters: bind ? parameters.filter(({ key }) => !OF_SUPERBLOCK.has(key)) : parameters,
  });
}
