import type { Command } from 'commander';
import type { Context } from '../context.js';
import { ExitWith } from '../failures.js';
import { humanSize } from '../output/human.js';
import { complain, print } from '../output/print.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';

interface DiskUsage {
  readonly images: {
    readonly imageCount: number;
    readonly activeImageCount: number;
    readonly layerBytes: number;
    readonly blobBytes: number;
    readonly writableBytes: number;
    readonly reclaimableBytes: number;
  };
  readonly containers: {
    readonly containerCount: number;
    readonly runningCount: number;
    readonly logBytes: number;
    readonly volumeCount: number;
    readonly activeVolumeCount: number;
    readonly volumeBytes: number;
    readonly volumeReclaimableBytes: number;
  };
}

interface Pruned {
  readonly deleted: readonly string[];
  readonly reclaimedBytes: number;
}

export function configureSystem(command: Command, context: () => Context): void {
  command.usage('VERB');

  subcommand(command, 'df', 'show disk space')
    .option('--format <format>', "table, json, or a template such as '{{.Type}} {{.Size}}'")
    .action(({ format }: { format?: string }) => showDiskUsage(context(), format));

  subcommand(command, 'prune', 'remove what nothing uses')
    .option('-a, --all', 'also images that have a name')
    .option('-f, --force', 'do not ask')
    .option('--volumes', 'also anonymous volumes')
    .action((flags: PruneFlags) => prune(context(), flags));
}

async function showDiskUsage({ client }: Context, format: string | undefined): Promise<void> {
  const { images, containers } = await client.get<DiskUsage>('/v1/disk-usage');
  const reclaimable = (bytes: number, total: number): string =>
    total === 0 ? humanSize(bytes) : `${humanSize(bytes)} (${Math.round((bytes / total) * 100)}%)`;
  const imageBytes = images.layerBytes + images.blobBytes;
  const containerBytes = images.writableBytes + containers.logBytes;
  const row = (
    type: string,
    total: number,
    active: number,
    size: number,
    free: string,
  ): Record<string, string> => ({
    Type: type,
    TotalCount: String(total),
    Active: String(active),
    Size: humanSize(size),
    Reclaimable: free,
  });
  await printListing(
    {
      columns: [
        ['TYPE', 'Type'],
        ['TOTAL', 'TotalCount'],
        ['ACTIVE', 'Active'],
        ['SIZE', 'Size'],
        ['RECLAIMABLE', 'Reclaimable'],
      ],
      rows: [
        row(
          'Images',
          images.imageCount,
          images.activeImageCount,
          imageBytes,
          reclaimable(images.reclaimableBytes, imageBytes),
        ),
        row('Containers', containers.containerCount, containers.runningCount, containerBytes, '-'),
        row(
          'Local Volumes',
          containers.volumeCount,
          containers.activeVolumeCount,
          containers.volumeBytes,
          reclaimable(containers.volumeReclaimableBytes, containers.volumeBytes),
        ),
      ],
    },
    { format },
  );
}

interface PruneFlags {
  all?: boolean;
  force?: boolean;
  volumes?: boolean;
}

async function prune(
  { client }: Context,
  { all = false, force = false, volumes = false }: PruneFlags,
): Promise<void> {
  const what = [
    '  - all containers that do not run',
    volumes ? '  - all anonymous volumes that no container uses' : '',
    all ? '  - all images that no container uses' : '  - all images without a name that no container uses',
  ].filter((line) => line !== '');
  await confirm(`This removes:\n${what.join('\n')}`, force);
  const parts: [string, Pruned][] = [];
  // Containers first: they hold images and volumes.
  parts.push(['Deleted Containers', await client.post<Pruned>('/v1/containers/prune')]);
  if (volumes)
    parts.push(['Deleted Volumes', await client.post<Pruned>('/v1/volumes/prune', { all: false })]);
  parts.push(['Deleted Images', await client.post<Pruned>('/v1/images/prune', { all })]);
  let total = 0;
  for (const [title, part] of parts) {
    const { deleted, reclaimedBytes } = part;
    total += reclaimedBytes;
    if (deleted.length > 0) print(`${title}:\n${deleted.join('\n')}\n`);
  }
  print(`Total reclaimed space: ${humanSize(total)}`);
}

/** Asks on the terminal; everything but yes, the end of input too, means no. */
export async function confirm(question: string, force: boolean): Promise<void> {
  if (force) return;
  process.stderr.write(`${question}\nAre you sure you want to continue? [y/N] `);
  const { createInterface } = await import('node:readline');
  const reader = createInterface({ input: process.stdin });
  let answer = '';
  for await (const line of reader) {
    answer = line;
    break;
  }
  reader.close();
  if (/^y(es)?$/i.test(answer.trim())) return;
  complain('nothing was removed; with --force nothing is asked');
  throw new ExitWith(1);
}
