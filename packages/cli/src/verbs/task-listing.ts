import type { control } from '@gantry/protocol';
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import { filterBy, gather } from '../flags/filters.js';
import { ellipsis, humanAge, shortId } from '../output/human.js';
import { printListing } from '../output/table.js';
import { hostnamesById } from './node-names.js';

export interface TaskListingFlags {
  filter?: string[];
  format?: string;
  quiet?: boolean;
  /** False with --no-trunc. */
  trunc: boolean;
  /** False with --no-resolve. */
  resolve: boolean;
}

export function addTaskListingFlags(command: Command): Command {
  return command
    .option('-f, --filter <key=value>', 'id, name, node or desired-state', gather)
    .option('--format <format>', "table, json, or a template such as '{{.Name}} {{.Node}}'")
    .option('-q, --quiet', 'ids only')
    .option('--no-trunc', 'whole ids and errors')
    .option('--no-resolve', 'ids of nodes instead of their names');
}

const desiredStates: Readonly<Record<control.DesiredState, string>> = {
  DESIRED_STATE_UNSPECIFIED: '',
  DESIRED_STATE_RUNNING: 'Running',
  DESIRED_STATE_SHUTDOWN: 'Shutdown',
  DESIRED_STATE_REMOVED: 'Remove',
};

/** "TASK_STATE_RUNNING" as "Running". */
const stateOf = (state: control.TaskState | undefined): string => {
  const word = (state ?? 'TASK_STATE_PENDING').replace('TASK_STATE_', '').toLowerCase();
  return word.charAt(0).toUpperCase() + word.slice(1);
};

const serviceTitle = ({ stack, serviceName }: control.Task): string =>
  stack === '' ? serviceName : `${stack}_${serviceName}`;

export const taskName = (task: control.Task): string =>
  `${serviceTitle(task)}.${task.slot === 0 ? task.nodeId : task.slot}`;

const errorStates: ReadonlySet<control.TaskState> = new Set([
  'TASK_STATE_FAILED',
  'TASK_STATE_REJECTED',
  'TASK_STATE_LOST',
]);

/** Why it does not run, as far as there is something to say. */
function errorOf({ status, placementMessage, desired }: control.Task): string {
  if (placementMessage !== '') return placementMessage;
  if (status === undefined) return '';
  const unfinished = desired === 'DESIRED_STATE_RUNNING' && status.state !== 'TASK_STATE_RUNNING';
  return errorStates.has(status.state) || unfinished ? status.message : '';
}

const errorWidth = 60;

/** As docker's: newest first within a slot, those before it indented. */
export async function listTasks(
  client: Client,
  tasks: readonly control.Task[],
  flags: TaskListingFlags,
): Promise<void> {
  const hostnames = flags.resolve ? await hostnamesById(client) : new Map<string, string>();
  const nodeName = ({ nodeId }: control.Task): string => hostnames.get(nodeId) ?? nodeId;
  const fits = filterBy<control.Task>(flags.filter, {
    id: ({ id }, value) => id.startsWith(value),
    name: (task, value) => taskName(task).includes(value),
    node: (task, value) => nodeName(task) === value || task.nodeId.startsWith(value),
    'desired-state': ({ desired }, value) => desiredStates[desired].toLowerCase() === value.toLowerCase(),
  });
  const sorted = tasks.filter(fits).sort(inOrder);
  const rows = sorted.map((task, index) => {
    const before = sorted[index - 1];
    const isOlder = before !== undefined && taskName(before) === taskName(task);
    const error = errorOf(task);
    return {
      ID: flags.trunc ? shortId(task.id) : task.id,
      Name: `${isOlder ? ' \\_ ' : ''}${taskName(task)}`,
      Image: task.spec?.container?.image ?? '',
      Node: nodeName(task),
      DesiredState: desiredStates[task.desired],
      CurrentState: `${stateOf(task.status?.state)} ${humanAge(since(task))}`,
      Error: flags.trunc ? ellipsis(error, errorWidth) : error,
      Ports: (task.spec?.container?.ports ?? [])
        .map(
          ({ hostPort, containerPort, protocol }) => `*:${hostPort}->${containerPort}/${protocol || 'tcp'}`,
        )
        .join(', '),
    };
  });
  await printListing(
    {
      columns: [
        ['ID', 'ID'],
        ['NAME', 'Name'],
        ['IMAGE', 'Image'],
        ['NODE', 'Node'],
        ['DESIRED STATE', 'DesiredState'],
        ['CURRENT STATE', 'CurrentState'],
        ['ERROR', 'Error'],
        ['PORTS', 'Ports'],
      ],
      rows,
    },
    { format: flags.format, quiet: flags.quiet === true && 'ID' },
  );
}

const since = ({ status, createdUnixMs }: control.Task): number =>
  status === undefined || status.changedUnixMs === 0 ? createdUnixMs : status.changedUnixMs;

function inOrder(a: control.Task, b: control.Task): number {
  return (
    serviceTitle(a).localeCompare(serviceTitle(b)) ||
    a.slot - b.slot ||
    a.nodeId.localeCompare(a.slot === 0 ? b.nodeId : a.nodeId) ||
    Number(isWanted(b)) - Number(isWanted(a)) ||
    b.createdUnixMs - a.createdUnixMs
  );
}

const isWanted = ({ desired }: control.Task): boolean => desired === 'DESIRED_STATE_RUNNING';
