import type { Repetitions } from '../options.js';
import type { Bundle } from '../peers/bundle-runtimes.js';
import { Conmon } from '../peers/conmon.js';
import { logFiles, writeLogFile } from '../log-files.js';
import { atLeast, atMost, measured, ratioTo, type Row } from '../row.js';
import type { Session } from '../session.js';
import { SpawnerDriver } from '../spawner-driver.js';
import { median } from '../statistics.js';

/** The monitor of one container beside conmon: what it holds, and how fast it logs. */
export async function measureShim({ bundle, workplace, repetitions }: Session): Promise<Row[]> {
  const driver = new SpawnerDriver(bundle, workplace);
  const conmon = new Conmon(bundle);
  return [
    ...(await measureMemory(driver, conmon, bundle, repetitions)),
    ...(await measureLog(driver, conmon, bundle, repetitions)),
  ];
}

async function measureMemory(
  driver: SpawnerDriver,
  conmon: Conmon,
  bundle: Bundle,
  { loggedMegabytes, attaches }: Repetitions,
): Promise<Row[]> {
  const bytes = loggedMegabytes * 1e6;
  const file = writeLogFile(bundle.rootfs, 'lines-of-100', bytes);
  const ours = await driver.run({ kind: 'memory', file, attaches });
  const theirs = await conmon.readMemory(file, bytes);
  const row = (id: Row['id'], what: string, value: number, peer: number, more: Partial<Row> = {}): Row => ({
    id,
    what,
    unit: 'KiB',
    value,
    peers: [measured('conmon', peer), measured('idle', ours.idle)],
    // No growth: a page or two that are touched later is not what is meant.
    budgets: [atMost('milestone', 150), ratioTo('milestone', 'idle', 1.1)],
    ...more,
  });
  return [
    row('shim-idle', 'private memory of a lone shim, idle', ours.idle, theirs.idle, {
      peers: [measured('conmon', theirs.idle)],
      budgets: [atMost('milestone', 150)],
    }),
    row('shim-logged', `the same after ${loggedMegabytes} MB of log`, ours.logged, theirs.logged),
    row('shim-attached', `and after ${attaches} attaches`, ours.attached, theirs.logged),
  ];
}

async function measureLog(
  driver: SpawnerDriver,
  conmon: Conmon,
  bundle: Bundle,
  { logMegabytes, logRounds }: Repetitions,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { name, what, id } of logFiles) {
    const bytes = logMegabytes * 1e6;
    const file = writeLogFile(bundle.rootfs, name, bytes);
    const ours = await driver.run({ kind: 'log', file, rounds: logRounds });
    if (!ours.isEqual) throw new Error(`the log of ${what} lacks the last ${ours.missing} bytes`);
    const theirs: number[] = [];
    for (let round = 0; round < logRounds; round += 1) theirs.push(await conmon.timeLog(file));
    const rate = (milliseconds: readonly number[]): number => bytes / 1e3 / median(milliseconds);
    rows.push({
      id,
      what: `log writer, ${what}, all compared`,
      unit: 'MB/s',
      value: rate(ours.milliseconds),
      peers: [measured('conmon', rate(theirs))],
      budgets: [atLeast('milestone', 100)],
    });
  }
  return rows;
}
