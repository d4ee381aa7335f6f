import type { Command } from 'commander';
import { imagePath } from '../client/client.js';
import type { Image } from '../client/types.js';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import { checkFilter } from '../flags/pairs.js';
import { humanAge, humanSize, humanTime, shortId } from '../output/human.js';
import { print } from '../output/print.js';
import { printListing } from '../output/table.js';
import { forEach } from './lifecycle.js';

interface ImagesFlags {
  digests?: boolean;
  filter?: string[];
  format?: string;
  quiet?: boolean;
  trunc: boolean;
}

export function configureImages(command: Command, context: () => Context): void {
  command
    .argument('[repository]', 'only images of this name, with or without a tag')
    .usage('[flags] [REPOSITORY[:TAG]]')
    .option('-a, --all', 'the same as without: there are no intermediate images here')
    .option('--digests', 'with digests')
    .option(
      '-f, --filter <key=value>',
      'reference, label or dangling',
      (value: string, before: string[] = []) => [...before, value],
    )
    .option('--format <format>', "table, json, or a template such as '{{.Repository}}:{{.Tag}}'")
    .option('--no-trunc', 'whole ids')
    .option('-q, --quiet', 'ids only')
    .action((repository: string | undefined, flags: ImagesFlags) => listImages(context(), repository, flags));
}

interface NamedImage {
  readonly image: Image;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

async function listImages(
  { client }: Context,
  repository: string | undefined,
  flags: ImagesFlags,
): Promise<void> {
  const fits = [
    ...(repository === undefined ? [] : [fitsReference(repository)]),
    ...(flags.filter ?? []).map(fitsFilter),
  ];
  const { images } = await client.get<{ images: Image[] }>('/v1/images');
  const named = images
    .toSorted((a, b) => b.createdUnixMs - a.createdUnixMs)
    .flatMap(namesOf)
    .filter((one) => fits.every((fit) => fit(one)));
  if (flags.quiet === true && flags.format === undefined) {
    for (const id of new Set(named.map(({ image }) => image.id))) print(flags.trunc ? shortId(id) : id);
    return;
  }
  const columns: [string, string][] = [
    ['REPOSITORY', 'Repository'],
    ['TAG', 'Tag'],
  ];
  if (flags.digests === true) columns.push(['DIGEST', 'Digest']);
  columns.push(['IMAGE ID', 'ID'], ['CREATED', 'CreatedSince'], ['SIZE', 'Size']);
  const rows = named.map(({ image, repository: name, tag, digest }) => ({
    ID: flags.trunc ? shortId(image.id) : image.id,
    Repository: name,
    Tag: tag,
    Digest: digest,
    CreatedAt: humanTime(image.createdUnixMs),
    CreatedSince: humanAge(image.createdUnixMs),
    Size: humanSize(image.sizeBytes),
    Containers: String(image.containerCount),
    Platform: image.platform,
  }));
  await printListing({ columns, rows }, { format: flags.format });
}

/** One row a reference; names of the usual registry are shown as people type them. */
function namesOf(image: Image): NamedImage[] {
  const digestOf = (repository: string): string =>
    image.digests.map((one) => one.split('@')).find(([name]) => name === repository)?.[1] ?? '<none>';
  if (image.references.length === 0)
    return [{ image, repository: '<none>', tag: '<none>', digest: '<none>' }];
  return image.references.map((reference) => {
    const [, repository = reference, tag = '<none>'] = /^(.*?)(?::([^:/@]+))?(?:@.*)?$/.exec(reference) ?? [];
    return { image, repository: familiarName(repository), tag, digest: digestOf(repository) };
  });
}

export const familiarName = (repository: string): string =>
  repository.replace(/^docker\.io\/library\//, '').replace(/^docker\.io\//, '');

type Fit = (one: NamedImage) => boolean;

function fitsReference(pattern: string): Fit {
  const wild = (text: string): RegExp =>
    new RegExp(
      `^${text
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replaceAll('*', '[^/]*')
        .replaceAll('?', '[^/]')}$`,
    );
  const [, name = pattern, tag] = /^(.*?)(?::([^:/]+))?$/.exec(pattern) ?? [];
  const byName = wild(familiarName(name));
  const byTag = tag === undefined ? undefined : wild(tag);
  return (one) => byName.test(one.repository) && (byTag === undefined || byTag.test(one.tag));
}

function fitsFilter(text: string): Fit {
  const [, key = '', value = ''] = /^([^=]+)=(.*)$/.exec(checkFilter(text)) ?? [];
  if (key === 'reference') return fitsReference(value);
  if (key === 'dangling')
    return ({ image }) => (image.references.length === 0) === (value === 'true' || value === '1');
  if (key === 'label') {
    const [label = '', ...rest] = value.split('=');
    const wanted = rest.length > 0 ? rest.join('=') : undefined;
    return ({ image }) =>
      image.labels[label] !== undefined && (wanted === undefined || image.labels[label] === wanted);
  }
  throw new UsageFailure(`--filter: "${key}" is not done; reference, label and dangling are`);
}

export function configureTag(command: Command, context: () => Context): void {
  command
    .argument('<image>')
    .argument('<reference>')
    .usage('IMAGE REFERENCE')
    .action(async (image: string, reference: string) => {
      await context().client.post(imagePath(image, '/tag'), { reference });
    });
}

export function configureRmi(command: Command, context: () => Context): void {
  command
    .argument('<image...>')
    .usage('[flags] IMAGE [IMAGE...]')
    .option('-f, --force', 'although several names name it')
    .action((names: string[], { force = false }: { force?: boolean }) =>
      forEach('rmi', names, async (name) => {
        const { untagged, deleted } = await context().client.request<{
          untagged: string[];
          deleted: string[];
        }>('DELETE', imagePath(name), { query: { force } });
        return [
          ...untagged.map((one) => `Untagged: ${one}`),
          ...deleted.map((one) => `Deleted: ${one}`),
        ].join('\n');
      }),
    );
}
