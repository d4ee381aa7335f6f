import type { control } from '@gantry/protocol';
import type { Command } from 'commander';
import { filterBy, gather } from '../flags/filters.js';
import { shortId } from '../output/human.js';
import { printListing } from '../output/table.js';

export interface ServiceListingFlags {
  filter?: string[];
  format?: string;
  quiet?: boolean;
}

export function addServiceListingFlags(command: Command): Command {
  return command
    .option('-f, --filter <key=value>', 'id, name, mode or stack', gather)
    .option('--format <format>', "table, json, or a template such as '{{.Name}} {{.Replicas}}'")
    .option('-q, --quiet', 'ids only');
}

type Named = Pick<control.ServiceProgress, 'stack' | 'name'>;

/** "STACK_NAME", as every verb takes it. */
export const serviceTitle = ({ stack, name }: Named): string => (stack === '' ? name : `${stack}_${name}`);

const modeOf = (mode: control.ServiceMode): string =>
  mode === 'SERVICE_MODE_GLOBAL' ? 'global' : 'replicated';

export async function listServices(
  services: readonly control.ServiceProgress[],
  flags: ServiceListingFlags,
): Promise<void> {
  const fits = filterBy<control.ServiceProgress>(flags.filter, {
    id: ({ serviceId }, value) => serviceId.startsWith(value),
    name: (one, value) => serviceTitle(one).includes(value),
    mode: ({ mode }, value) => modeOf(mode) === value,
    stack: ({ stack }, value) => stack === value,
  });
  const shown = services
    .filter(fits)
    .sort((a, b) => serviceTitle(a).localeCompare(serviceTitle(b)))
    .map((one) => ({
      ID: shortId(one.serviceId),
      Name: serviceTitle(one),
      Stack: one.stack,
      Mode: modeOf(one.mode),
      Replicas: `${one.running + one.runningOld}/${one.wanted}`,
      Image: one.image,
      Ports: one.ports.map(showHostPort).join(', '),
      Update: one.updateStatus?.state ?? '',
    }));
  await printListing(
    {
      columns: [
        ['ID', 'ID'],
        ['NAME', 'Name'],
        ['MODE', 'Mode'],
        ['REPLICAS', 'Replicas'],
        ['IMAGE', 'Image'],
        ['PORTS', 'Ports'],
      ],
      rows: shown,
    },
    { format: flags.format, quiet: flags.quiet === true && 'ID' },
  );
}

function showHostPort({ port, protocol, address }: control.HostPort): string {
  const host = address === '' ? '*' : address.includes(':') ? `[${address}]` : address;
  return `${host}:${port}/${protocol === '' ? 'tcp' : protocol}`;
}
