import type { Command } from 'commander';
import type { ContainerSummary } from '../client/types.js';
import type { Context } from '../context.js';
import { checkFilter } from '../flags/pairs.js';
import { showPort } from '../flags/ports.js';
import { parseInteger } from '../flags/quantities.js';
import { ellipsis, humanAge, humanSize, humanTime, shortId } from '../output/human.js';
import { print } from '../output/print.js';
import { printListing } from '../output/table.js';

interface PsFlags {
  all?: boolean;
  filter?: string[];
  format?: string;
  last?: string;
  latest?: boolean;
  quiet?: boolean;
  size?: boolean;
  /** False with --no-trunc. */
  trunc: boolean;
}

export function configurePs(command: Command, context: () => Context): void {
  command
    .usage('[flags]')
    .option('-a, --all', 'also those that do not run')
    .option('-f, --filter <key=value>', 'only those that fit', (value: string, before: string[] = []) => [
      ...before,
      value,
    ])
    .option('--format <format>', "table, json, or a template such as '{{.Names}}'")
    .option('-n, --last <count>', 'the last created ones, whatever their state')
    .option('-l, --latest', 'the last created one, whatever its state')
    .option('--no-trunc', 'whole ids and commands')
    .option('-q, --quiet', 'ids only')
    .option('-s, --size', 'with the space each takes')
    .action((flags: PsFlags) => listContainers(context(), flags));
}

async function listContainers({ client }: Context, flags: PsFlags): Promise<void> {
  const last =
    flags.latest === true ? 1 : flags.last === undefined ? undefined : parseInteger(flags.last, '--last');
  const filter = (flags.filter ?? []).map(checkFilter);
  const { containers } = await client.get<{ containers: ContainerSummary[] }>('/v1/containers', {
    all: flags.all === true || last !== undefined,
    size: flags.size,
    filter,
  });
  const sorted = [...containers].sort((a, b) => b.createdUnixMs - a.createdUnixMs).slice(0, last);
  if (flags.quiet === true && flags.format === undefined) {
    for (const { id } of sorted) print(flags.trunc ? shortId(id) : id);
    return;
  }
  const columns: [string, string][] = [
    ['CONTAINER ID', 'ID'],
    ['IMAGE', 'Image'],
    ['COMMAND', 'Command'],
    ['CREATED', 'RunningFor'],
    ['STATUS', 'Status'],
    ['PORTS', 'Ports'],
    ['NAMES', 'Names'],
  ];
  if (flags.size === true) columns.push(['SIZE', 'Size']);
  await printListing(
    { columns, rows: sorted.map((one) => rowOf(one, flags.trunc)) },
    { format: flags.format },
  );
}

function rowOf(container: ContainerSummary, truncate: boolean): Record<string, unknown> {
  const command = truncate ? ellipsis(container.command, 20) : container.command;
  return {
    ID: truncate ? shortId(container.id) : container.id,
    Names: container.name,
    Image: container.image,
    ImageID: truncate ? shortId(container.imageId) : container.imageId,
    Command: `"${command}"`,
    CreatedAt: humanTime(container.createdUnixMs),
    RunningFor: humanAge(container.createdUnixMs),
    State: container.state,
    Status: container.status,
    Ports: container.ports.map(showPort).join(', '),
    Labels: Object.entries(container.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    Mounts: container.mounts.join(','),
    Networks: container.network,
    IPAddress: container.ipAddress,
    Size: humanSize(container.writableBytes),
  };
}
