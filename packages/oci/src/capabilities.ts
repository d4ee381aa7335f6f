import { type Checked, invalid, valid } from './checked.js';
import type { RuntimeCapabilities } from './runtime-spec.js';

/** Every capability of Linux up to 6.18, at the index that is its number (capabilities(7)). */
export const CAPABILITIES: readonly string[] = Object.freeze([
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
]);

/** What a container has unless told otherwise: the same fourteen as docker's. */
export const DEFAULT_CAPABILITIES: readonly string[] = Object.freeze([
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SYS_CHROOT',
  'CAP_MKNOD',
  'CAP_AUDIT_WRITE',
  'CAP_SETFCAP',
]);

const KNOWN = new Set(CAPABILITIES);

/** `chown`, `CAP_CHOWN`, `Cap_Chown` become `CAP_CHOWN`; `all` becomes `ALL`. */
export function normalizeCapability(name: string): Checked<string> {
  const upper = name.toUpperCase();
  if (upper === 'ALL' || upper === 'CAP_ALL') return valid('ALL');
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  return KNOWN.has(full) ? valid(full) : invalid(`capability ${JSON.stringify(name)} is not known`);
}

export interface CapabilityWish {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly privileged: boolean;
}

/**
 * The capabilities a container keeps, by docker's rules: privileged keeps all; adding ALL keeps all but the dropped;
 * dropping ALL keeps only the added; otherwise the default less the dropped, with the added (an added one wins).
 * The order is that of {@link CAPABILITIES}.
 */
export function resolveCapabilities(wish: CapabilityWish): Checked<readonly string[]> {
  const add = new Set<string>();
  const drop = new Set<string>();
  for (const [names, into] of [
    [wish.add, add],
    [wish.drop, drop],
  ] as const) {
    for (const name of names) {
      const normalized = normalizeCapability(name);
      if (!normalized.ok) return normalized;
      into.add(normalized.value);
    }
  }
  if (wish.privileged) return valid(CAPABILITIES);
  const start = add.has('ALL') ? CAPABILITIES : drop.has('ALL') ? [] : DEFAULT_CAPABILITIES;
  const kept = new Set(start.filter((name) => !drop.has(name)));
  for (const name of add) if (name !== 'ALL' && !(add.has('ALL') && drop.has(name))) kept.add(name);
  return valid(CAPABILITIES.filter((name) => kept.has(name)));
}

/**
 * The five sets of a process that runs as `uid`. A user other than root gets none effective, as docker does: the
 * bounding set alone limits what a setuid program could gain.
 */
export function processCapabilities(kept: readonly string[], uid: number): RuntimeCapabilities {
  const own = uid === 0 ? kept : [];
  return { bounding: kept, effective: own, permitted: own, inheritable: [], ambient: [] };
}
