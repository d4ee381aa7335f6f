import type { Bundle } from '../peers/bundle-runtimes.js';
import { measureKernelFloor } from '../peers/kernel-floor.js';
import { atMost, measured, ratioTo, type Row } from '../row.js';
import type { Session } from '../session.js';
import { SpawnerDriver } from '../spawner-driver.js';
import type { StageTable } from '../stage-table.js';
import { median, percentile } from '../statistics.js';

const parallel = 8;

export interface SpawnerFigures {
  readonly rows: readonly Row[];
  readonly stages: StageTable;
}

/** The spawner without bus, network and cgroup service, beside runtimes that are given the same bundle. */
export async function measureSpawner(session: Session): Promise<SpawnerFigures> {
  const { bundle, workplace, repetitions } = session;
  const driver = new SpawnerDriver(bundle, workplace);
  const { rows, stages } = await measureSpawns(driver, session);
  return { rows: [...rows, ...(await measureMany(driver, bundle, repetitions.manyContainers))], stages };
}

async function measureSpawns(
  driver: SpawnerDriver,
  { bundle, workplace, repetitions, note }: Session,
): Promise<SpawnerFigures> {
  const { spawns, bundleRuns } = repetitions;
  const warmUp = Math.ceil(spawns / 10);
  const crunBefore = await bundle.measure('crun', bundleRuns / 4);
  const ours = await driver.run({ kind: 'starts', shape: 'bundle', warmUp, count: spawns });
  const crunAfter = await bundle.measure('crun', bundleRuns / 4);
  const runc = await bundle.measure('runc', bundleRuns / 4);
  const floor = await measureKernelFloor(bundle.world, workplace, bundle, spawns);
  const whole = await driver.run({ kind: 'starts', shape: 'default', warmUp, count: spawns });
  const crun = [...crunBefore, ...crunAfter];
  const running = ours.samples.map((sample) => sample.running);
  const peers = (percent: number): Row['peers'] => [
    measured('crun', percentile(crun, percent)),
    measured('runc', percentile(runc, percent)),
    measured('kernel floor', percentile(floor, percent)),
  ];
  const p50 = (samples: readonly { readonly running: number; readonly exited: number }[]): string =>
    `${median(samples.map((one) => one.running)).toFixed(2)} ms to execve, ${median(samples.map((one) => one.exited)).toFixed(2)} ms to the exit code`;
  note(
    `Spawns: the bundle takes ${p50(ours.samples)}; a default container (user namespace, overlay over an id-mapped layer, seccomp) ${p50(whole.samples)}. ` +
      `crun's p50 was ${median(crunBefore).toFixed(1)} ms before ours and ${median(crunAfter).toFixed(1)} ms after.`,
  );
  const stageMedians = (samples: typeof ours.samples): number[] =>
    ours.stages.map((_, index) => median(samples.map(({ stages }) => stages[index] ?? Number.NaN)));
  return {
    rows: [
      {
        id: 'spawn-p50',
        what: `spawn through the addon, ${spawns} in a row, p50`,
        unit: 'ms',
        value: median(running),
        peers: peers(50),
        budgets: [atMost('milestone', 4), ratioTo('milestone', 'crun', 1 / 2)],
      },
      {
        id: 'spawn-p99',
        what: 'the same, p99',
        unit: 'ms',
        value: percentile(running, 99),
        peers: peers(99),
        budgets: [],
      },
    ],
    stages: {
      names: ours.stages,
      bundle: stageMedians(ours.samples),
      whole: stageMedians(whole.samples),
      floor: median(floor),
    },
  };
}

/** Five hundred that stay, by eight callers at once; then another life of the spawner takes them up. */
async function measureMany(driver: SpawnerDriver, bundle: Bundle, count: number): Promise<Row[]> {
  const ours = await driver.run({ kind: 'many', count, parallel });
  const { adopted, running } = await driver.run({ kind: 'adopt' });
  if (ours.errors.length > 0)
    throw new Error(`${ours.errors.length} of ${count} starts failed: ${ours.errors[0]}`);
  if (running !== count) throw new Error(`${running} of ${count} containers were adopted as running`);

  const names = Array.from({ length: count }, (_, number) => `many${number}`);
  const theirs = await bundle.runParallel(
    names.map((name) => {
      const directory = bundle.derive(name, ['/bin/sleep', '100000']);
      return ['crun', 'run', '--detach', '--bundle', directory, name];
    }),
    parallel,
  );
  const listed = await bundle.measureCommand('crun list --quiet', 5);
  await bundle.runParallel(
    names.map((name) => ['crun', 'delete', '--force', name]),
    parallel,
  );
  const row = (id: Row['id'], what: string, percent: number): Row => ({
    id,
    what,
    unit: 'ms',
    value: percentile(ours.samples, percent),
    peers: [measured('crun', percentile(theirs.samples, percent))],
    budgets: [],
  });
  return [
    {
      id: 'spawn-many',
      what: `${count} started by ${parallel} callers at once, no error`,
      unit: 's',
      value: ours.total / 1000,
      peers: [measured('crun', theirs.total / 1000)],
      budgets: [],
    },
    row('spawn-many-p50', 'one of them, p50', 50),
    row('spawn-many-p99', 'one of them, p99', 99),
    {
      id: 'adopt-many',
      what: `a restarted spawner adopts ${count} containers`,
      unit: 's',
      value: adopted / 1000,
      peers: [measured('crun list', median(listed) / 1000)],
      budgets: [atMost('milestone', 1)],
    },
  ];
}
