import type { Init, common, node } from '@gantry/protocol';
import { humanDuration } from '@gantry/protocol/human-duration';
import type { Container } from './container.js';
import { refusal } from './refuse.js';

/** "Up 3 minutes (healthy)", "Exited (0) 5 seconds ago". */
export function statusText(container: Container, nowUnixMs: number): string {
  const { life } = container;
  const since = (nanos: number): string => humanDuration(nowUnixMs - nanos / 1e6);
  switch (life.state) {
    case 'created':
      return 'Created';
    case 'running': {
      const health = container.health?.state.status;
      const words =
        container.record.execution.healthCheck === undefined
          ? ''
          : ` (${health === 'starting' || health === undefined ? 'health: starting' : health})`;
      return `Up ${since(life.startedUnixNanos)}${words}`;
    }
    case 'paused':
      return `Up ${since(life.startedUnixNanos)} (Paused)`;
    case 'restarting':
      return `Restarting (${life.exitCode}) ${since(life.finishedUnixNanos)} ago`;
    case 'exited':
      return `Exited (${life.exitCode}) ${since(life.finishedUnixNanos)} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
  }
}

function networkName(container: Container): string {
  const { network } = container.record.spec;
  return network === '' || network === 'default' ? 'bridge' : network;
}

export function summarize(
  container: Container,
  nowUnixMs: number,
  writableBytes: number,
): Init<node.ContainerSummary> {
  const { record, life } = container;
  const up = container.running;
  return {
    id: record.id,
    name: record.name,
    image: record.image,
    imageId: record.imageId,
    command: record.execution.args.join(' '),
    createdUnixMs: record.createdUnixMs,
    state: life.state,
    status: statusText(container, nowUnixMs),
    ports: up ? record.network.ports : record.spec.ports,
    labels: record.execution.labels,
    ipAddress: up ? record.network.ipAddress : '',
    health:
      up && record.execution.healthCheck !== undefined ? (container.health?.state.status ?? 'starting') : '',
    exitCode: life.exitCode,
    pid: life.pid,
    mounts: record.mounts.map(({ source, target }) => source || target),
    network: networkName(container),
    writableBytes,
  };
}

type Test = (container: Container, value: string) => boolean;

/** Docker's filters; those that look at other containers get them. */
function testsAmong(all: readonly Container[]): Readonly<Record<string, Test>> {
  const createdOf = (reference: string): number => {
    const found = all.find(({ id, record }) => record.name === reference || id.startsWith(reference));
    if (found === undefined)
      throw refusal(
        'not_found',
        'ListContainers',
        reference,
        `there is no container ${reference} to filter by`,
      );
    return found.record.createdUnixMs;
  };
  return {
    id: ({ id }, value) => id.startsWith(value),
    name: ({ record }, value) =>
      record.name.includes(value.replace(/^\//, '')) || matches(record.name, value),
    label: ({ record }, value) => labelMatches(record.execution.labels, value),
    status: ({ life }, value) => life.state === value,
    ancestor: ({ record }, value) => imageMatches(record.image, record.imageId, value),
    exited: ({ life }, value) => life.state === 'exited' && life.exitCode === Number(value),
    health: (container, value) =>
      (container.record.execution.healthCheck === undefined
        ? 'none'
        : (container.health?.state.status ?? 'starting')) === value,
    volume: ({ record }, value) =>
      record.mounts.some(({ source, target }) => source === value || target === value),
    network: (container, value) => networkName(container) === value,
    publish: ({ record }, value) =>
      record.spec.ports.some(
        ({ hostPort, protocol }) => `${hostPort}` === value || `${hostPort}/${protocol || 'tcp'}` === value,
      ) || record.network.ports.some(({ hostPort }) => `${hostPort}` === value),
    before: ({ record }, value) => record.createdUnixMs < createdOf(value),
    since: ({ record }, value) => record.createdUnixMs > createdOf(value),
  };
}

function matches(text: string, pattern: string): boolean {
  try {
    return new RegExp(pattern.replace(/^\^?\/?/, '^')).test(text) && /[\^$*+?.[\]|()]/.test(pattern);
  } catch {
    return false;
  }
}

export function labelMatches(labels: Readonly<Record<string, string>>, value: string): boolean {
  const equals = value.indexOf('=');
  return equals < 0
    ? Object.hasOwn(labels, value)
    : labels[value.slice(0, equals)] === value.slice(equals + 1);
}

function imageMatches(reference: string, imageId: string, value: string): boolean {
  if (reference === value || imageId === value || imageId.startsWith(`sha256:${value}`)) return true;
  return (
    reference.endsWith(`/${value}`) ||
    reference.endsWith(`/${value}:latest`) ||
    reference === `${value}:latest`
  );
}

/** Containers that pass: values of one key are alternatives, different keys must all hold. Newest first. */
export function filterContainers(
  all: readonly Container[],
  filters: readonly common.KeyValue[],
  withStopped: boolean,
): readonly Container[] {
  const tests = testsAmong(all);
  const wanted = new Map<string, string[]>();
  for (const { key, value } of filters) {
    if (!Object.hasOwn(tests, key))
      throw refusal(
        'invalid_argument',
        'ListContainers',
        key,
        `containers cannot be filtered by ${JSON.stringify(key)}`,
      );
    wanted.set(key, [...(wanted.get(key) ?? []), value]);
  }
  const asksState = wanted.has('status') || wanted.has('exited');
  return all
    .filter(
      (container) => withStopped || asksState || container.running || container.life.state === 'restarting',
    )
    .filter((container) =>
      [...wanted].every(([key, values]) =>
        // Labels narrow each other, as docker has it.
        key === 'label'
          ? values.every((value) => tests[key]?.(container, value))
          : values.some((value) => tests[key]?.(container, value)),
      ),
    )
    .sort((a, b) => b.record.createdUnixMs - a.record.createdUnixMs || (a.id < b.id ? -1 : 1));
}
