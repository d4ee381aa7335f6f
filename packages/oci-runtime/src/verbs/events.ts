import { cgroupStats, watchOom, type RuntimeCgroup } from '@gantry/cgroup-supervisor/runtime';
import { stringifyLossless } from '@gantry/oci';
import { monotonicMs } from '../clock.js';
import type { ContainerRecord } from '../container-record.js';
import { isAlive, statusOf } from '../container-status.js';
import { failure } from '../failure.js';
import { print } from '../print.js';
import type { Call } from '../program.js';

export async function events({ runtime, given, words: [id = ''] }: Call): Promise<number> {
  const intervalMs = readDuration(given.text('interval') ?? '5s');
  const record = runtime.store.get(id);
  if (statusOf(record, runtime.store) === 'stopped') failure(`container with id ${id} is not running`);
  const cgroup = record.cgroup ?? failure(`container ${JSON.stringify(id)} has no cgroup of its own`);
  if (given.flag('stats')) {
    printEvent('stats', id, cgroupStats(cgroup));
    return 0;
  }
  await follow(record, cgroup, intervalMs);
  return 0;
}

/** Until the container has ended. */
async function follow(record: ContainerRecord, cgroup: RuntimeCgroup, intervalMs: number): Promise<void> {
  const over = new AbortController();
  const watching = watchOom(
    cgroup,
    () => {
      printEvent('oom', record.id);
    },
    over.signal,
  );
  let lookAt = monotonicMs() + intervalMs;
  while (isAlive(record.pid, record.startTicks)) {
    // The end is noticed within a second, however rarely somebody wants to see figures.
    await new Promise((resolve) => setTimeout(resolve, Math.min(1000, Math.max(0, lookAt - monotonicMs()))));
    if (monotonicMs() < lookAt) continue;
    lookAt += intervalMs;
    if (isAlive(record.pid, record.startTicks)) printEvent('stats', record.id, cgroupStats(cgroup));
  }
  over.abort();
  await watching;
}

function printEvent(type: 'stats' | 'oom', id: string, data?: object): void {
  print(`${stringifyLossless({ type, id, ...(data === undefined ? {} : { data }) })}\n`);
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** As Go writes durations: `5s`, `100ms`, `1m30s`. Pure. */
export function readDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const isWhole = parts.map(([part]) => part).join('') === text;
  const sum = parts.reduce((total, [, number, unit = '']) => total + Number(number) * (unitMs[unit] ?? 0), 0);
  return isWhole && sum > 0
    ? sum
    : failure(`interval ${JSON.stringify(text)} is not a time above 0, such as 5s`);
}
