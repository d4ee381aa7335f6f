import { parseSignal } from '@gantry/oci';
import { signalCgroup, thawCgroup } from '@gantry/cgroup-supervisor/runtime';
import { namespaceFlag } from '@gantry/spawner/runtime';
import type { ContainerRecord } from '../container-record.js';
import { statusOf } from '../container-status.js';
import { failure } from '../failure.js';
import type { Call } from '../program.js';
import type { Runtime } from '../runtime.js';
import { matchingIds } from '../matching.js';

const SIGKILL = 9;

/** Needs no lock: it changes nothing that is written down, and must reach a container whose hooks do not end. */
export async function kill({
  runtime,
  given,
  words: [name = '', signalWord = 'SIGTERM'],
}: Call): Promise<number> {
  const signal = readSignal(signalWord);
  if (!given.flag('regex')) {
    await signalContainer(runtime, runtime.store.get(name), signal, given.flag('all'));
    return 0;
  }
  for (const id of matchingIds(runtime.store, name)) {
    const record = runtime.store.read(id);
    if (record !== undefined && statusOf(record, runtime.store) !== 'stopped')
      await signalContainer(runtime, record, signal, given.flag('all'));
  }
  return 0;
}

/** 0 asks only whether there is a process. */
function readSignal(word: string): number {
  return word === '0' ? 0 : (parseSignal(word) ?? failure(`unknown signal ${JSON.stringify(word)}`));
}

async function signalContainer(
  runtime: Runtime,
  record: ContainerRecord,
  signal: number,
  all: boolean,
): Promise<void> {
  const { cgroup } = record;
  const status = statusOf(record, runtime.store);
  // In a pid namespace of its own all processes end with the first. Else they live on and are known by their cgroup only.
  const isAlone = (BigInt(record.namespaces) & namespaceFlag.pid) !== 0n;
  const everything = all || (signal === SIGKILL && !isAlone);
  if (everything && cgroup !== undefined) {
    const found = signalCgroup(cgroup, signal);
    if (status === 'stopped' && found === 0 && !all) failure('container not running');
  } else {
    if (status === 'stopped') failure('container not running');
    if (!runtime.native.signalProcess(record.pid, BigInt(record.startTicks), signal))
      failure('os: process already finished');
  }
  // v1's freezer keeps even those that are killed.
  if (status === 'paused' && signal === SIGKILL && cgroup !== undefined) await thawCgroup(cgroup);
}
