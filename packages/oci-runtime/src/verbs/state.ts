import { monotonicMs } from '../clock.js';
import type { ContainerRecord } from '../container-record.js';
import { statusOf } from '../container-status.js';
import type { ContainerStore } from '../container-store.js';
import { print } from '../print.js';
import type { Call } from '../program.js';
import { stateJson } from '../state-json.js';

const settleMs = 300;

/** A create that is about to be done is waited for. Not for long: who asks may be one of its own hooks. */
function settled(store: ContainerStore, id: string): ContainerRecord {
  const end = monotonicMs() + settleMs;
  for (;;) {
    const record = store.get(id);
    if (statusOf(record, store) !== 'creating' || monotonicMs() > end) return record;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
}

export function state({ runtime, words: [id = ''] }: Call): number {
  const record = settled(runtime.store, id);
  print(`${JSON.stringify(stateJson(record, statusOf(record, runtime.store)), undefined, 2)}\n`);
  return 0;
}
