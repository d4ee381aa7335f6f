import type { control } from '@gantry/protocol';
import type { Command } from 'commander';
import { nodePath, type Client } from '../client/client.js';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import { filterBy, gather, hasLabel } from '../flags/filters.js';
import { parsePair } from '../flags/pairs.js';
import { printDocuments } from '../output/documents.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';
import { forEach } from './lifecycle.js';
import { hostnameOf } from './node-names.js';
import { addTaskListingFlags, listTasks, type TaskListingFlags } from './task-listing.js';

export function configureNode(command: Command, context: () => Context): void {
  command.usage('VERB');

  subcommand(command, 'ls', 'list the nodes of the cluster')
    .option('-q, --quiet', 'ids only')
    .option('-f, --filter <key=value>', 'id, name, label, role, availability or status', gather)
    .option('--format <format>', "table, json, or a template such as '{{.Hostname}} {{.Status}}'")
    .action((flags: ListFlags) => listNodes(context().client, flags));

  addTaskListingFlags(subcommand(command, 'ps', 'list the tasks of nodes').argument('<node...>')).action(
    async (names: string[], flags: TaskListingFlags) => {
      const { client } = context();
      const tasks: control.Task[] = [];
      for (const name of names) {
        // The question with a name that no node has must be an error, not an empty list.
        const { record } = await client.get<control.Node>(nodePath(name));
        const page = await client.get<control.ListTasksResponse>('/v1/tasks', {
          node: record?.nodeId ?? name,
        });
        tasks.push(...page.tasks);
      }
      await listTasks(client, tasks, flags);
    },
  );

  subcommand(command, 'inspect', 'show everything about nodes')
    .argument('<node...>')
    .option('-f, --format <format>', "json, or a template such as '{{.record.address}}'")
    .action((names: string[], { format }: { format?: string }) =>
      printDocuments('node', names, format, (name) => context().client.get(nodePath(name))),
    );

  subcommand(command, 'update', 'change labels or availability of nodes')
    .argument('<node...>')
    .option('--label-add <key=value>', 'set a label', gather)
    .option('--label <key=value>', 'the same', gather)
    .option('--label-rm <key>', 'remove a label', gather)
    .option('--availability <availability>', 'active or drain')
    .action((names: string[], flags: UpdateFlags) => {
      const change = changeFrom(flags);
      return forEach('node', names, (name) => update(context().client, name, change));
    });

  const availabilityVerb = (name: string, summary: string, availability: 'active' | 'drain'): void => {
    subcommand(command, name, summary)
      .argument('<node...>')
      .action((names: string[]) =>
        forEach('node', names, (one) => update(context().client, one, { availability })),
      );
  };
  availabilityVerb('drain', 'move the tasks of nodes away, and place none there', 'drain');
  availabilityVerb('activate', 'let nodes take tasks again', 'active');

  subcommand(command, 'rm', 'forget nodes: their credentials end at once')
    .argument('<node...>')
    .option('-f, --force', 'also nodes that are ready')
    .action((names: string[], { force = false }: { force?: boolean }) =>
      forEach('node', names, async (name) => {
        await context().client.request('DELETE', nodePath(name), { query: { force } });
        return name;
      }),
    );
}

interface ListFlags {
  quiet?: boolean;
  filter?: string[];
  format?: string;
}

const conditions: Readonly<Record<control.NodeCondition, string>> = {
  NODE_CONDITION_UNSPECIFIED: 'Unknown',
  NODE_CONDITION_READY: 'Ready',
  NODE_CONDITION_RESTARTING: 'Restarting',
  NODE_CONDITION_LOST: 'Lost',
  NODE_CONDITION_UNKNOWN: 'Unknown',
};

const availabilities: Readonly<Record<control.Availability, string>> = {
  AVAILABILITY_UNSPECIFIED: 'Active',
  AVAILABILITY_ACTIVE: 'Active',
  AVAILABILITY_DRAIN: 'Drain',
};

const roleIn = (record: control.NodeRecord | undefined): string =>
  record?.role === 'NODE_ROLE_CONTROL' ? 'control' : 'worker';

function describeRole({ record, leader }: control.Node): string {
  if (leader) return 'control (leader)';
  return record?.controlPending === true ? 'worker (control pending)' : roleIn(record);
}

async function listNodes(client: Client, flags: ListFlags): Promise<void> {
  const same = (text: string, value: string): boolean => text.toLowerCase() === value.toLowerCase();
  const fits = filterBy<control.Node>(flags.filter, {
    id: ({ record }, value) => record?.nodeId.startsWith(value) ?? false,
    name: (node, value) => hostnameOf(node).includes(value),
    label: ({ record }, value) => hasLabel(record?.labels ?? {}, value),
    role: ({ record }, value) => same(roleIn(record), value),
    availability: ({ record }, value) =>
      same(availabilities[record?.availability ?? 'AVAILABILITY_UNSPECIFIED'], value),
    status: ({ condition }, value) => same(conditions[condition], value),
  });
  const { nodes } = await client.get<control.ListNodesResponse>('/v1/nodes');
  const shown = nodes.filter(fits).sort((a, b) => hostnameOf(a).localeCompare(hostnameOf(b)));
  await printListing(
    {
      columns: [
        ['ID', 'ID'],
        ['HOSTNAME', 'Hostname'],
        ['STATUS', 'Status'],
        ['AVAILABILITY', 'Availability'],
        ['ROLE', 'Role'],
        ['ADDRESS', 'Address'],
        ['VERSION', 'Version'],
      ],
      rows: shown.map(rowOf),
    },
    { format: flags.format, quiet: flags.quiet === true && 'ID' },
  );
}

function rowOf(node: control.Node): Record<string, unknown> {
  const { record, status, condition } = node;
  return {
    ID: record?.nodeId ?? '',
    Hostname: hostnameOf(node),
    Status: conditions[condition],
    Availability: availabilities[record?.availability ?? 'AVAILABILITY_UNSPECIFIED'],
    Role: describeRole(node),
    Address: record?.address ?? '',
    Version: status?.version ?? '',
    Tasks: node.taskCount,
    Labels: Object.entries(record?.labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  };
}

interface UpdateFlags {
  labelAdd?: string[];
  label?: string[];
  labelRm?: string[];
  availability?: string;
}

interface NodeChange {
  readonly labelsAdd?: Readonly<Record<string, string>>;
  readonly labelsRemove?: readonly string[];
  readonly availability?: 'active' | 'drain';
}

function changeFrom(flags: UpdateFlags): NodeChange {
  const added = [...(flags.labelAdd ?? []), ...(flags.label ?? [])];
  const change: NodeChange = {
    ...(added.length === 0
      ? {}
      : { labelsAdd: Object.fromEntries(added.map((text) => parsePair(text, '--label-add'))) }),
    ...(flags.labelRm === undefined ? {} : { labelsRemove: flags.labelRm }),
    ...(flags.availability === undefined ? {} : { availability: parseAvailability(flags.availability) }),
  };
  if (Object.keys(change).length === 0)
    throw new UsageFailure('nothing to change: give --label-add, --label-rm or --availability');
  return change;
}

function parseAvailability(text: string): 'active' | 'drain' {
  if (text === 'active' || text === 'drain') return text;
  throw new UsageFailure(`--availability: "${text}" is neither active nor drain`);
}

async function update(client: Client, name: string, change: NodeChange): Promise<string> {
  await client.request('PATCH', nodePath(name), { json: change });
  return name;
}
