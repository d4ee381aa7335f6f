import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deleteCgroup, signalCgroup, type RuntimeCgroup } from '@gantry/cgroup-supervisor/runtime';
import type { RuntimeSpec } from '@gantry/oci';
import { hookFailureText, runHooks } from '@gantry/spawner/runtime';
import { withHookEnvironments } from './bundle.js';
import { monotonicMs } from './clock.js';
import type { ContainerRecord } from './container-record.js';
import { isAlive } from './container-status.js';
import type { HeldContainer } from './container-store.js';
import { failure, messageOf } from './failure.js';
import { detachHostMounts } from './host-mounts.js';
import type { Runtime } from './runtime.js';
import { stateJson } from './state-json.js';

const killTimeoutMs = 10_000;
/** A process that is not gone by then stands still. */
const patienceMs = 100;
const cgroupTimeoutMs = 10_000;
const SIGKILL = 9;

/** Kills all of the container's processes and waits until its first is gone. */
export async function killContainer(runtime: Runtime, record: ContainerRecord): Promise<void> {
  if (record.cgroup !== undefined) signalCgroup(record.cgroup, SIGKILL);
  const began = monotonicMs();
  const end = began + killTimeoutMs;
  for (let pauseMs = 1; isAlive(record.pid, record.startTicks); pauseMs = Math.min(pauseMs * 2, 50)) {
    runtime.native.signalProcess(record.pid, BigInt(record.startTicks), SIGKILL);
    if (monotonicMs() > began + patienceMs) takeFromForeignFreezer(record);
    if (monotonicMs() > end)
      failure(
        `container ${JSON.stringify(record.id)} does not end: its process ${record.pid} takes no SIGKILL`,
      );
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/**
 * v1's freezer keeps even those that are killed, and somebody may have put the process into a frozen cgroup of his own. Back in the
 * container's, which is not frozen, it goes on and dies; his cgroup stays as he wants it.
 */
function takeFromForeignFreezer({ cgroup, pid }: ContainerRecord): void {
  const isFreezer = ({ hierarchy, kind }: RuntimeCgroup['directories'][number]): boolean =>
    kind === 'v1' && hierarchy.split(',').includes('freezer');
  const own = cgroup?.directories.find(isFreezer);
  if (own === undefined) return;
  try {
    writeFileSync(join(own.path, 'cgroup.procs'), String(pid));
  } catch {
    // Gone in this moment, or not to be moved: the caller goes on waiting.
  }
}

/**
 * Removes a held container whose process has ended: cgroup, directory, then poststop hooks, whose failures are warnings. What is
 * left of a killed create is removed by the same steps. All is tried; the first failure is thrown at the end.
 */
export async function destroy(runtime: Runtime, held: HeldContainer): Promise<void> {
  const { record } = held;
  const spec = record === undefined ? undefined : readSpec(runtime, record.id);
  try {
    if (record?.cgroup !== undefined) await deleteCgroup(record.cgroup, cgroupTimeoutMs);
    if (record !== undefined) detachHostMounts(runtime, record);
    runtime.store.erase(held);
  } finally {
    held.release();
  }
  if (record === undefined) return;
  const state = stateJson({ ...record, pid: 0 }, 'stopped');
  for (const failed of await runHooks('poststop', spec?.hooks?.poststop, { ...state, status: 'stopped' }))
    runtime.log.warn(hookFailureText(failed));
}

/** After a failed create: the failure is what counts, so that of removing is a warning. */
export async function discard(runtime: Runtime, held: HeldContainer): Promise<void> {
  try {
    const record = runtime.store.read(held.directory.slice(held.directory.lastIndexOf('/') + 1));
    if (record !== undefined) await killContainer(runtime, record);
    await destroy(runtime, { ...held, record });
  } catch (error) {
    runtime.log.warn(`cannot remove what was made of the container: ${messageOf(error)}`);
  }
}

/** The configuration as it was at create; undefined when a killed create did not get so far. */
function readSpec(runtime: Runtime, id: string): RuntimeSpec | undefined {
  try {
    return withHookEnvironments(JSON.parse(runtime.store.readConfig(id)) as RuntimeSpec, process.env);
  } catch {
    return undefined;
  }
}
