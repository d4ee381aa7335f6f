import type { Machine } from './machine.js';
import { formatStages, type StageTable } from './stage-table.js';
import { isMet, peerNamed, rowIds, type Budget, type BudgetLevel, type Row, type Unit } from './row.js';

/** How each group of rows is measured: the words below the table. */
const methods: readonly (readonly [string, string])[] = [
  [
    'start through the bus',
    "A program in the node's network, with the api's key on the node's bus, asks node-agent for CreateContainer and then StartContainer, whose answer comes when the container's program has been executed (the close-on-exec pipe of the spawner has closed). The figure is from before the first request to after the second answer: record, layers, writable directory, sandbox (user and network namespace, veth, address, name), cgroup, shim, namespaces, overlay, seccomp, execve. Then it waits for the exit code and removes the container before it starts the next; the pool of sandboxes is refilled meanwhile. The peers are whole `crun run` and `runc run` of the bundle of `runc spec` with `true`, taken by hyperfine without a shell: they make no network, no overlay, no user namespace and no seccomp filter, but their figure holds the exit, so `request → exit code known` stands beside them too.",
  ],
  [
    'start while the large image is pulled',
    'The same program, while `gantry pull` and `gantry rmi` of the large image go on in turn. Only starts that began within a pull are counted. The peer is our own idle figure of the same run.',
  ],
  [
    'run --rm',
    'The whole command line from its start to its end, one of ours and one of podman’s in turn; the median of each. Both have the network of their default: a bridge, an address, masquerade.',
  ],
  [
    'a hundred',
    'Eight commands at a time until all are done. `podman rm` gets `-t 0`, since `sleep` as pid 1 ignores SIGTERM and podman would wait ten seconds for each. The rows through the bus are the same containers without the start of a command line each, beside the same figures of podman, which has no other door.',
  ],
  [
    'memory per container',
    'Private_Clean and Private_Dirty of smaps_rollup: the median shim, and the growth of gantryd and nats-server together divided by the number of containers, after as many containers had been started and removed once. conmon: its median. What the kernel keeps for a container is not counted on either side. containerd-shim: published by others (its PSS), for orientation.',
  ],
  [
    'idle node',
    'Resident memory of all our processes and nats-server together, after a start and the load of one image. Pages of a file that several of them map (the binary of Node) are there once and are counted once; the notes have the plain sum of resident sizes too. The measured peer is `podman system service`, which serves an API and supervises nothing. dockerd with containerd does not run beside the others here; its figure was taken on another machine and only orients.',
  ],
  [
    'pull',
    'The large image is made from a fixed seed: four gzip layers. Debian’s docker-registry serves it on loopback; registry, Gantry and podman all keep their files on tmpfs. Whole commands, in turn, with the image removed in between; the median of each.',
  ],
  [
    'attach a sandbox',
    'AttachSandbox on the bus, request to answer: user and network namespace, veth, address, names, firewall. From the pool: the pool is full before each. Cold: a node with `pool_size: 0`. The peer is the whole `netavark setup` (bridge and rules are there, another container is on it) into a network namespace that exists; it makes no user namespace.',
  ],
  [
    'three nodes',
    'A control node and two workers, each in a network namespace of its own on a private bridge, all on this machine and its processors. A deploy is `PUT /v1/stacks/NAME` on the socket of the control node; the figure ends with the line of the roll-out that says that all runs: the store has been written, the scheduler has placed, the agents have started and reported. Images are there. After each, the stack is removed and no host has a container left. Idle memory is taken before the first deploy, as for the idle node. No other orchestrator runs on this machine: beside each figure stands our own of the same run without a cluster.',
  ],
  [
    'spawn through the addon',
    "The spawner's own code in one Node process among the peers (`packages/spawner/src/bench-driver.ts`), without bus, network and cgroup services: from the request as it comes off the bus until the container's program has been executed, with log, records and the shim that stays. Its cgroups, in every hierarchy, are there before, since another service makes them. The bundle, its mounts and namespaces are those that `crun run` and `runc run` are given; their figure holds their cgroups and the exit.",
  ],
  [
    'started by callers at once',
    'The same, eight requests at a time, of `sleep`. An error fails the run. The peer is `crun run --detach` with a bundle and a cgroup for each, eight at a time. Then the process with all its connections ends, and a new one takes the containers up, which means that it is connected to the shim of each; beside it `crun list`, which reads as many records and asks nobody.',
  ],
  [
    'gantry-oci',
    'hyperfine without a shell, every runtime with the same bundle. Bare Node is the same Node with an empty file. Under podman: one of each in turn, without a network, the median of each.',
  ],
  [
    'the shim',
    'Private_Clean and Private_Dirty of one shim that is alone on the machine, so that the pages of its binary are its own, too. conmon, started as podman starts it with crun, logs the same in its k8s-file form (the last row has its figure after the log: it is not attached to). The log writer: `cat` of a file into the pipe, from its start to the exit, no rotation; afterwards every byte of the log is compared. Binary has every byte value but the first bytes of UTF-8 sequences, so that each is one U+FFFD.',
  ],
];

const stageWords =
  'Medians of every stage between the request and its answer, seen by the clock of the service, the shim, the stage and init (`native/shim/moments.c`). The kernel floor is a C program of the same run that makes the same namespaces, binds the root, mounts /proc, pivots and executes `true`, and nothing else.';

const levelNames: Readonly<Record<BudgetLevel, string>> = { milestone: 'milestone', design: 'design' };

export function formatValue(value: number, unit: Unit): string {
  const digits = unit === 's' ? 2 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`;
}

/** Lines of a Markdown table that a terminal shows well too: one line a peer. */
export function formatTable(rows: readonly Row[]): string[] {
  const titles = ['what', 'Gantry', 'peer', 'its figure', 'ratio', ...Object.values(levelNames)];
  const ordered = rowIds.flatMap((id) => rows.filter((row) => row.id === id));
  const cells = [titles, ...ordered.flatMap(formatRow)];
  const widths = titles.map((_, column) => Math.max(...cells.map((line) => (line[column] ?? '').length)));
  const join = (line: readonly string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = cells;
  return [join(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(join)];
}

function formatRow(row: Row): string[][] {
  const own = [row.what, formatValue(row.value, row.unit)];
  const ownBudgets = (['milestone', 'design'] as const).map((level) => formatBudgets(row, level));
  return row.peers.map((peer, index) => [
    ...(index === 0 ? own : ['', '']),
    peer.measured ? peer.name : `${peer.name} (not measured here)`,
    formatValue(peer.value, row.unit),
    (row.value / peer.value).toFixed(2),
    ...(index === 0 ? ownBudgets : ['', '']),
  ]);
}

function formatBudgets(row: Row, level: BudgetLevel): string {
  return row.budgets
    .filter((budget) => budget.level === level)
    .map((budget) => `${formatBudget(budget, row.unit)} ${isMet(row, budget) ? 'met' : 'NOT MET'}`)
    .join('; ');
}

function formatBudget(budget: Budget, unit: Unit): string {
  if (budget.kind === 'absolute') return `≤ ${budget.limit} ${unit}`;
  if (budget.kind === 'floor') return `≥ ${budget.limit} ${unit}`;
  if (budget.kind === 'above') return `≤ ${budget.to} + ${budget.limit} ${unit}`;
  const factor =
    budget.limit < 1
      ? `1/${Math.round(1 / budget.limit)} of `
      : budget.limit === 1
        ? ''
        : `${budget.limit} × `;
  return `≤ ${factor}${budget.to}`;
}

/** One line for each budget that is not met. */
export function listUnmet(rows: readonly Row[]): string[] {
  return rows.flatMap((row) =>
    row.budgets
      .filter((budget) => !isMet(row, budget))
      .map((budget) => {
        const peer = 'to' in budget ? peerNamed(row, budget.to) : undefined;
        const against = peer === undefined ? '' : ` (${peer.name}: ${formatValue(peer.value, row.unit)})`;
        return `${levelNames[budget.level]}: ${row.what} is ${formatValue(row.value, row.unit)}${against}, budget ${formatBudget(budget, row.unit)}`;
      }),
  );
}

export interface Report {
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
  /** Undefined when the spawner was not measured. */
  readonly stages: StageTable | undefined;
  readonly machine: Machine;
  readonly date: Date;
}

/** Somebody else wanted a fifth of the processors or more. */
function isBusy({ idlePercentBefore }: Machine): boolean {
  return idlePercentBefore < 80;
}

/** The whole of docs/benchmarks.md. */
export function formatDocument({ rows, notes, stages, machine, date }: Report): string {
  const unmet = listUnmet(rows);
  return `${[
    '# Benchmarks',
    '',
    'Written by `npm run bench`, which measures Gantry and its peers side by side on one machine in one run. Absolute',
    'figures drift with the machine; compare ratios. A run in which a row or a peer is missing fails.',
    '',
    ...formatTable(rows),
    '',
    ...(isBusy(machine)
      ? [
          'The machine was busy with other work during this run: times are longer than on a quiet machine, the 99th',
          'percentiles most of all, and what is bound by processors suffers more than what waits.',
          '',
        ]
      : []),
    unmet.length === 0 ? 'Every budget above is met.' : 'Not met in this run:',
    ...(unmet.length === 0 ? [] : ['', ...unmet.map((line) => `- ${line}`)]),
    '',
    ...(stages === undefined
      ? []
      : ["## Where a spawn's time goes", '', stageWords, '', ...formatStages(stages), '']),
    '## The machine',
    '',
    `- ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    `- ${machine.processor}, ${machine.memory}`,
    `- ${machine.distribution}, ${machine.kernel}, cgroups: ${machine.cgroups}`,
    `- processors ${machine.idlePercentBefore} % idle just before the run`,
    ...machine.programs.map((program) => `- ${program}`),
    '',
    '## Notes of this run',
    '',
    ...notes.map((note) => `- ${note}`),
    '',
    '## How it is measured',
    '',
    'Everything is on a tmpfs of the benchmark. Gantry runs as installed, in a network namespace of its own. The peers run',
    'in mount, pid and network namespaces of their own, entered by nsenter; where the machine has an empty cgroup v2',
    'hierarchy beside v1, it is not mounted in there, because Debian’s crun and podman refuse to start otherwise.',
    '',
    ...methods.flatMap(([title, text]) => [`**${title}.** ${text}`, '']),
  ]
    .join('\n')
    .trimEnd()}\n`;
}
