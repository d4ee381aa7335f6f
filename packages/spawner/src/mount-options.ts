import { refuse } from './refusal.js';

/** mount(8)'s words, as mount_setattr(2) and fsconfig(2) take them. */
export interface MountOptions {
  readonly bind: boolean;
  readonly recursive: boolean;
  readonly idmap: boolean;
  /** MOUNT_ATTR_* to set and to clear. */
  readonly set: bigint;
  readonly clear: bigint;
  /** The attributes reach the mounts beneath, too (`rro` and the like). */
  readonly recursiveAttributes: boolean;
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
  ['relatime', [0n, ATIME_MASK]],
  ['nosymfollow', [NOSYMFOLLOW, 0n]],
  ['symfollow', [0n, NOSYMFOLLOW]],
]);

const PROPAGATION: ReadonlyMap<string, bigint> = new Map([
  ['unbindable', 1n << 17n],
  ['private', 1n << 18n],
  ['slave', 1n << 19n],
  ['shared', 1n << 20n],
]);

const WITHOUT_EFFECT = new Set(['defaults', 'async', 'nofail', 'loud', 'silent', 'noauto', 'auto']);
const REFUSED = new Set(['tmpcopyup', 'remount', 'iversion', 'noiversion', 'mand']);

export function propagationNamed(word: string): bigint | undefined {
  return PROPAGATION.get(word) ?? (word.startsWith('r') ? PROPAGATION.get(word.slice(1)) : undefined);
}

/** Later words win over earlier ones, as with mount(8). */
export function parseMountOptions(options: readonly string[], destination: string): MountOptions {
  let [set, clear, propagation] = [0n, 0n, 0n];
  let [bind, recursive, idmap, recursiveAttributes] = [false, false, false, false];
  const parameters: { key: string; value: string | undefined }[] = [];
  for (const option of options) {
    const attribute =
      ATTRIBUTES.get(option) ?? (option.startsWith('r') ? ATTRIBUTES.get(option.slice(1)) : undefined);
    const spread = propagationNamed(option);
    if (REFUSED.has(option))
      refuse(`mount ${destination} has option ${JSON.stringify(option)}, which is not supported`);
    else if (option === 'bind' || option === 'rbind')
      [bind, recursive] = [true, recursive || option === 'rbind'];
    else if (option === 'idmap' || option === 'ridmap') idmap = true;
    else if (spread !== undefined) propagation = spread;
    else if (attribute !== undefined) {
      if (!ATTRIBUTES.has(option)) recursiveAttributes = true;
      const [on, off] = attribute;
      set = (set & ~off) | on;
      clear = (clear & ~on) | off;
    } else if (!WITHOUT_EFFECT.has(option)) {
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
  return Object.freeze({ bind, recursive, idmap, set, clear, recursiveAttributes, propagation, parameters });
}
