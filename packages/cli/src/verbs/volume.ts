import type { Command } from 'commander';
import type { Volume } from '../client/types.js';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import { checkFilter, parseLabel } from '../flags/pairs.js';
import { humanSize } from '../output/human.js';
import { print } from '../output/print.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';
import { forEach } from './lifecycle.js';
import { confirm } from './system.js';

const gather = (value: string, before: string[] = []): string[] => [...before, value];

export function configureVolume(command: Command, context: () => Context): void {
  command.usage('VERB');

  subcommand(command, 'create', 'create a volume')
    .argument('[name]')
    .option('--label <key=value>', 'label', gather)
    .action(async (name: string | undefined, { label = [] }: { label?: string[] }) => {
      const labels = Object.fromEntries(label.map((text) => parseLabel(text)));
      print((await context().client.post<Volume>('/v1/volumes', { name: name ?? '', labels })).name);
    });

  subcommand(command, 'ls', 'list volumes')
    .option('-q, --quiet', 'names only')
    .option('-f, --filter <key=value>', 'name, label or dangling', gather)
    .option('--format <format>', "table, json, or a template such as '{{.Name}}'")
    .option('-s, --size', 'with sizes')
    .action((flags: ListFlags) => listVolumes(context(), flags));

  subcommand(command, 'inspect', 'show everything about volumes')
    .argument('<volume...>')
    .action(async (names: string[]) => {
      const { volumes } = await context().client.get<{ volumes: Volume[] }>('/v1/volumes');
      const found = names.map((name) => {
        const one = volumes.find((volume) => volume.name === name);
        if (one === undefined) throw new UsageFailure(`there is no volume ${name}`);
        return {
          Name: one.name,
          Driver: 'local',
          Mountpoint: one.mountpoint,
          CreatedAt: new Date(one.createdUnixMs).toISOString(),
          Labels: one.labels,
          Scope: 'local',
        };
      });
      print(JSON.stringify(found, null, 4));
    });

  subcommand(command, 'rm', 'remove volumes')
    .argument('<volume...>')
    .option('-f, --force', 'none of that name is fine')
    .action((names: string[], { force = false }: { force?: boolean }) =>
      forEach('volume rm', names, async (name) => {
        await context().client.request('DELETE', `/v1/volumes/${encodeURIComponent(name)}`, {
          query: { force },
        });
        return name;
      }),
    );

  subcommand(command, 'prune', 'remove volumes that no container uses')
    .option('-a, --all', 'also those that have a name')
    .option('-f, --force', 'do not ask')
    .action(async ({ all = false, force = false }: { all?: boolean; force?: boolean }) => {
      await confirm(`This removes all ${all ? '' : 'anonymous '}volumes that no container uses.`, force);
      const { deleted, reclaimedBytes } = await context().client.post<{
        deleted: string[];
        reclaimedBytes: number;
      }>('/v1/volumes/prune', { all });
      for (const name of deleted) print(name);
      print(`Total reclaimed space: ${humanSize(reclaimedBytes)}`);
    });
}

interface ListFlags {
  quiet?: boolean;
  filter?: string[];
  format?: string;
  size?: boolean;
}

async function listVolumes({ client }: Context, flags: ListFlags): Promise<void> {
  const fits = (flags.filter ?? []).map(fitsFilter);
  const { volumes } = await client.get<{ volumes: Volume[] }>('/v1/volumes', { size: flags.size });
  const shown = volumes
    .filter((one) => fits.every((fit) => fit(one)))
    .sort((a, b) => a.name.localeCompare(b.name));
  if (flags.quiet === true && flags.format === undefined) {
    for (const { name } of shown) print(name);
    return;
  }
  const columns: [string, string][] = [
    ['DRIVER', 'Driver'],
    ['VOLUME NAME', 'Name'],
  ];
  if (flags.size === true) columns.push(['SIZE', 'Size']);
  const rows = shown.map((one) => ({
    Driver: 'local',
    Name: one.name,
    Mountpoint: one.mountpoint,
    Labels: Object.entries(one.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    Links: String(one.containerIds.length),
    Size: flags.size === true ? humanSize(one.sizeBytes) : 'N/A',
  }));
  await printListing({ columns, rows }, { format: flags.format });
}

function fitsFilter(text: string): (volume: Volume) => boolean {
  const [, key = '', value = ''] = /^([^=]+)=(.*)$/.exec(checkFilter(text)) ?? [];
  if (key === 'name') return ({ name }) => name.includes(value);
  if (key === 'dangling')
    return ({ containerIds }) => (containerIds.length === 0) === (value === 'true' || value === '1');
  if (key === 'label') {
    const [label, wanted] = parseLabel(value, '--filter label');
    return ({ labels }) => labels[label] !== undefined && (!value.includes('=') || labels[label] === wanted);
  }
  throw new UsageFailure(`--filter: "${key}" is not done; name, label and dangling are`);
}
