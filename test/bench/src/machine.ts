import { existsSync, readFileSync, statSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '@gantry/test-harness';

/** What a reader must know of where the figures come from. */
export interface Machine {
  readonly processor: string;
  readonly memory: string;
  readonly kernel: string;
  readonly cgroups: string;
  readonly distribution: string;
  /** How much of the processors nobody wanted in the second before the run. */
  readonly idlePercentBefore: number;
  /** "name version" of everything measured. */
  readonly programs: readonly string[];
}

/** Debian packages whose versions matter for the figures. */
const packages = ['crun', 'runc', 'podman', 'conmon', 'netavark', 'nats-server', 'docker-registry'];

export async function describeMachine(): Promise<Machine> {
  const processors = cpus();
  const { stdout } = await runCommand('dpkg-query', ['-W', '-f=${Package} ${Version}\\n', ...packages]);
  return {
    processor: `${processors.length} × ${processors[0]?.model ?? 'unknown'} (${process.arch})`,
    memory: `${(totalmem() / 1e9).toFixed(1)} GB`,
    kernel: `Linux ${release()}`,
    cgroups: describeCgroups(),
    distribution: /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown',
    idlePercentBefore: await measureIdlePercent(),
    programs: [...stdout.trim().split('\n'), `node ${process.version}`],
  };
}

async function measureIdlePercent(): Promise<number> {
  const read = (): { idle: number; all: number } => {
    const times = cpus().map((processor) => processor.times);
    const idle = times.reduce((total, one) => total + one.idle, 0);
    return {
      idle,
      all: idle + times.reduce((total, one) => total + one.user + one.nice + one.sys + one.irq, 0),
    };
  };
  const before = read();
  await sleep(1_000);
  const after = read();
  return Math.round((100 * (after.idle - before.idle)) / (after.all - before.all));
}

function describeCgroups(): string {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return 'v2';
  return existsSync('/sys/fs/cgroup/unified') ? 'v1 with an empty v2 beside it (hybrid)' : 'v1';
}

/** Programs that a run needs and this machine lacks. */
export function findMissingPrograms(): string[] {
  const needed = [
    'crun',
    'runc',
    'podman',
    'conmon',
    'iptables',
    'hyperfine',
    'docker-registry',
    'skopeo',
    'busybox',
    'nats-server',
    'ip',
    'unshare',
    'nsenter',
  ];
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return needed.filter(
    (program) =>
      !directories.some((directory) =>
        statSync(`${directory}/${program}`, { throwIfNoEntry: false })?.isFile(),
      ),
  );
}
