import type { Command } from 'commander';
import { containerPath, imagePath, type Client } from '../client/client.js';
import type { Image } from '../client/types.js';
import type { Context } from '../context.js';
import { ApiFailure, ExitWith, UsageFailure, isApiFailure } from '../failures.js';
import { complain, print } from '../output/print.js';
import { formatTable } from '../output/table.js';

interface ImageDocument extends Image {
  readonly config: {
    readonly architecture?: string;
    readonly os?: string;
    readonly created?: string;
    readonly author?: string;
    readonly config?: unknown;
    readonly history?: unknown;
  };
}

export function configureInspect(command: Command, context: () => Context): void {
  command
    .argument('<name...>')
    .usage('[flags] NAME [NAME...]')
    .option('-f, --format <format>', "json, or a template such as '{{.State.Pid}}'")
    .option('--type <type>', 'container or image')
    .action((names: string[], flags: { format?: string; type?: string }) => inspect(context(), names, flags));
}

async function inspect(
  { client }: Context,
  names: string[],
  { format, type }: { format?: string; type?: string },
): Promise<void> {
  if (type !== undefined && type !== 'container' && type !== 'image')
    throw new UsageFailure(`--type: "${type}" is neither container nor image`);
  const template =
    format === undefined || format === 'json'
      ? undefined
      : (await import('../output/template.js')).compileTemplate(format);
  const found: unknown[] = [];
  let failed = false;
  for (const name of names) {
    try {
      found.push(await describe(client, name, type));
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.code === 'unavailable') throw error;
      failed = true;
      complain(`gantry inspect: ${error.message}`);
    }
  }
  if (template !== undefined) for (const one of found) print(template(one));
  else print(format === 'json' ? JSON.stringify(found) : JSON.stringify(found, null, 4));
  if (failed) throw new ExitWith(1);
}

async function describe(client: Client, name: string, type: string | undefined): Promise<unknown> {
  if (type !== 'image')
    try {
      return await client.get(containerPath(name));
    } catch (error) {
      if (type === 'container' || !isApiFailure(error, 'not_found')) throw error;
    }
  try {
    return describeImage(await client.get<ImageDocument>(imagePath(name)));
  } catch (error) {
    if (type === 'image' || !(isApiFailure(error, 'not_found') || isApiFailure(error, 'invalid_argument')))
      throw error;
    throw new ApiFailure({
      code: 'not_found',
      object: name,
      message: `there is no container or image ${name}`,
    });
  }
}

/** Docker-shaped. */
function describeImage(image: ImageDocument): unknown {
  const { config } = image;
  return {
    Id: image.id,
    RepoTags: image.references,
    RepoDigests: image.digests,
    Created: config.created ?? new Date(image.createdUnixMs).toISOString(),
    Author: config.author ?? '',
    Config: config.config ?? {},
    Architecture: config.architecture ?? image.platform.split('/')[1] ?? '',
    Os: config.os ?? image.platform.split('/')[0] ?? '',
    Size: image.sizeBytes,
    RootFS: { Type: 'layers', Layers: image.diffIds },
  };
}

export function configureTop(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .argument('[arguments...]')
    .usage('CONTAINER [ARGUMENTS OF PS...]')
    .passThroughOptions()
    .action(async (name: string, argument: string[]) => {
      const { titles, rows } = await context().client.get<{ titles: string[]; rows: { cells: string[] }[] }>(
        containerPath(name, '/processes'),
        { argument },
      );
      print(formatTable([titles, ...rows.map(({ cells }) => cells)]));
    });
}

interface PortDocument {
  readonly NetworkSettings?: {
    readonly Ports?: Readonly<
      Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[] | null>
    >;
  };
}

export function configurePort(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .argument('[port]', 'port inside, such as 80 or 53/udp')
    .usage('CONTAINER [PORT[/PROTOCOL]]')
    .action(async (name: string, port: string | undefined) => {
      const { NetworkSettings } = await context().client.get<PortDocument>(containerPath(name));
      const ports = Object.entries(NetworkSettings?.Ports ?? {});
      const show = ({ HostIp, HostPort }: { HostIp: string; HostPort: string }): string =>
        `${HostIp.includes(':') ? `[${HostIp}]` : HostIp === '' ? '0.0.0.0' : HostIp}:${HostPort}`;
      if (port === undefined) {
        for (const [inside, bindings] of ports)
          for (const binding of bindings ?? []) print(`${inside} -> ${show(binding)}`);
        return;
      }
      const wanted = port.includes('/') ? port : `${port}/tcp`;
      const bindings = ports.find(([inside]) => inside === wanted)?.[1] ?? [];
      if (bindings.length === 0) throw new UsageFailure(`container ${name} publishes no port ${wanted}`);
      for (const binding of bindings) print(show(binding));
    });
}
