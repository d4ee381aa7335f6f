import type { SandboxHandles } from './kernel.js';
import { sandboxIdPattern, type SandboxRecord } from './records.js';

/** What the kernel really has. */
export interface KernelFacts {
  readonly bootId: string;
  /** Names below the sandboxes' directory. */
  readonly directories: readonly string[];
  /** Names of the host's links that begin with our own prefix. */
  readonly links: ReadonlySet<string>;
  /** Handles of what is pinned in a sandbox's directory; 0 where nothing is. */
  readonly pinnedIn: (id: string) => SandboxHandles;
}

/** What start-up does about each sandbox. */
export interface ReconcilePlan {
  /** Whole and untouched: back into the pool. */
  readonly pool: readonly SandboxRecord[];
  /** A container holds it. */
  readonly held: readonly SandboxRecord[];
  /** Held, but parts of it are gone: kept for its container, with a sentence for the log. */
  readonly damaged: readonly { readonly id: string; readonly what: string }[];
  /** Never finished, never given to anybody, or of an earlier boot. */
  readonly destroy: readonly SandboxRecord[];
  /** Directories and links that no record speaks of. */
  readonly strayDirectories: readonly string[];
  readonly strayLinks: readonly string[];
}

/** Compares the records with the kernel. A container's sandbox is never destroyed here: that is for DetachSandbox. */
export function planReconciliation(records: readonly SandboxRecord[], facts: KernelFacts): ReconcilePlan {
  const pool: SandboxRecord[] = [];
  const held: SandboxRecord[] = [];
  const damaged: { id: string; what: string }[] = [];
  const destroy: SandboxRecord[] = [];
  for (const record of records) {
    const what = record.bootId === facts.bootId ? findDamage(record, facts) : 'it is of an earlier boot';
    if (record.bootId !== facts.bootId) destroy.push(record);
    else if (record.state === 'held') {
      held.push(record);
      if (what !== undefined) damaged.push({ id: record.id, what });
    } else if (record.state === 'ready' && what === undefined) pool.push(record);
    else destroy.push(record);
  }
  const known = new Set(records.map((record) => record.id));
  const knownLinks = new Set(records.map((record) => record.hostInterface));
  return {
    pool,
    held,
    damaged,
    destroy,
    strayDirectories: facts.directories.filter((name) => sandboxIdPattern.test(name) && !known.has(name)),
    strayLinks: [...facts.links].filter((name) => !knownLinks.has(name)),
  };
}

function findDamage(record: SandboxRecord, facts: KernelFacts): string | undefined {
  const pinned = facts.pinnedIn(record.id);
  const { handles } = record;
  if (pinned.netInode !== handles.netInode || pinned.netDevice !== handles.netDevice)
    return 'its network namespace is not pinned any more';
  if (pinned.userInode !== handles.userInode || pinned.userDevice !== handles.userDevice)
    return 'its user namespace is not pinned any more';
  if (record.hostInterface !== '' && !facts.links.has(record.hostInterface))
    return `its interface ${record.hostInterface} is gone`;
  return undefined;
}
