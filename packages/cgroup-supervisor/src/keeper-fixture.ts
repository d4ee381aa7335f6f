// For tests: a keeper on this machine's own hierarchies under a root of its own, and processes inside containers.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { cgroup } from '@gantry/protocol';
import { CgroupKeeper } from './cgroup-keeper.js';
import { processesIn, removeTree } from './directories.js';
import type { Hierarchies } from './hierarchies.js';
import { rootDirectory } from './layout.js';
import { findHierarchies } from './main.js';
import { CgroupRecords } from './records.js';
import { CgroupTree } from './tree.js';
import { deadlineIn, tryUntil } from './waiting.js';

/** Reason to skip, or false on a machine that can. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root';

export interface OomSeen {
  readonly containerId: string;
  readonly count: number;
}

export interface Fixture {
  readonly tree: CgroupTree;
  readonly runDirectory: string;
  readonly keeper: CgroupKeeper;
  readonly ooms: readonly OomSeen[];
  /** Stops the keeper and starts another, as a restart of the service does. */
  restart(): void;
  create(resources: Partial<cgroup.Resources>, name?: string): Promise<string>;
  /** Starts a shell command inside the container. */
  run(containerId: string, script: string): Promise<ChildProcess>;
  /** Kills and removes everything. */
  end(): Promise<void>;
}

export function newContainerId(): string {
  return randomBytes(32).toString('hex');
}

/** v1 alone, as on a machine without a unified hierarchy. */
export function withoutUnified(hierarchies: Hierarchies): Hierarchies {
  const all = hierarchies.all.filter(({ kind }) => kind === 'v1');
  return { version: 1, all, unified: undefined };
}

export function startFixture(choose: (found: Hierarchies) => Hierarchies = (found) => found): Fixture {
  const root = `gantry-test-cgroup-${process.pid}-${randomBytes(4).toString('hex')}`;
  const runDirectory = mkdtempSync(join(tmpdir(), 'gantry-test-cgroup-'));
  const hierarchies = choose(findHierarchies('/sys/fs/cgroup'));
  const ooms: OomSeen[] = [];
  const children: ChildProcess[] = [];
  const begin = (): { tree: CgroupTree; keeper: CgroupKeeper } => {
    const tree = new CgroupTree(hierarchies, { root });
    const keeper = new CgroupKeeper({
      tree,
      records: new CgroupRecords(runDirectory),
      onOom: (containerId, count) => ooms.push({ containerId, count }),
      onFailure: (error) => {
        throw error;
      },
    });
    keeper.start();
    return { tree, keeper };
  };
  let current = begin();
  return {
    get tree() {
      return current.tree;
    },
    get keeper() {
      return current.keeper;
    },
    runDirectory,
    ooms,
    restart() {
      current.keeper.stop();
      current = begin();
    },
    async create(resources, name = 'test') {
      const containerId = newContainerId();
      await current.keeper.create({
        containerId,
        resources,
        name,
        image: 'busybox',
        devicesJson: new Uint8Array(),
      });
      return containerId;
    },
    async run(containerId, script) {
      const child = spawn('sh', ['-c', `read go; ${script}`], { stdio: ['pipe', 'pipe', 'ignore'] });
      children.push(child);
      await once(child, 'spawn');
      for (const { directory } of current.tree.places(containerId))
        writeFileSync(join(directory, 'cgroup.procs'), String(child.pid));
      child.stdin.write('go\n');
      return child;
    },
    async end() {
      for (const id of current.keeper.list()) await current.keeper.destroy(id, deadlineIn(5000));
      current.keeper.stop();
      for (const child of children) child.kill('SIGKILL');
      for (const hierarchy of hierarchies.all) {
        const directory = rootDirectory(current.tree.layout, hierarchy);
        for (const pid of processesIn(directory)) process.kill(pid, 'SIGKILL');
        await tryUntil(deadlineIn(2000), () => removeTree(directory));
      }
      rmSync(runDirectory, { recursive: true, force: true });
    },
  };
}

/** Waits for something that a test expects; fails with the text when it does not come. */
export async function expectSoon(what: string, isTrue: () => boolean, milliseconds = 5000): Promise<void> {
  if (!(await tryUntil(deadlineIn(milliseconds), isTrue)))
    throw new Error(`did not happen in ${milliseconds} ms: ${what}`);
}
