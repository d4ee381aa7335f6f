import { freezeCgroup, thawCgroup, type RuntimeCgroup } from '@gantry/cgroup-supervisor/runtime';
import type { ContainerRecord } from '../container-record.js';
import { statusOf, type ContainerStatus } from '../container-status.js';
import { doesNotExist } from '../container-store.js';
import { failure } from '../failure.js';
import type { Call } from '../program.js';

export function pause(call: Call): Promise<number> {
  return change(call, 'pause', ['running', 'created'], freezeCgroup);
}

export function resume(call: Call): Promise<number> {
  return change(call, 'resume', ['paused'], thawCgroup);
}

async function change(
  { runtime, words: [id = ''] }: Call,
  verb: string,
  from: readonly ContainerStatus[],
  act: (cgroup: RuntimeCgroup) => Promise<void>,
): Promise<number> {
  const held = runtime.store.hold(id);
  const record: ContainerRecord = held?.record ?? failure(doesNotExist(id));
  const status = statusOf(record, runtime.store);
  if (!from.includes(status)) failure(`cannot ${verb} a container that is ${status}: ${JSON.stringify(id)}`);
  await act(record.cgroup ?? failure(`container ${JSON.stringify(id)} has no cgroup of its own`));
  held?.release();
  return 0;
}
