import type { control } from '@gantry/protocol';
import type { Command } from 'commander';
import { servicePath, type Client } from '../client/client.js';
import type { Context } from '../context.js';
import { ExitWith, UsageFailure } from '../failures.js';
import { parseInteger } from '../flags/quantities.js';
import { printDocuments } from '../output/documents.js';
import { complain, print } from '../output/print.js';
import { subcommand } from '../subcommand.js';
import { forEach } from './lifecycle.js';
import { addDetachFlag, followRollout } from './rollout.js';
import { addServiceListingFlags, listServices, type ServiceListingFlags } from './service-listing.js';
import { addTaskListingFlags, listTasks, type TaskListingFlags } from './task-listing.js';
import { addTaskLogFlags, showTaskLogs, type TaskLogFlags } from './task-logs.js';

export function configureService(command: Command, context: () => Context): void {
  command.usage('VERB');

  addServiceListingFlags(subcommand(command, 'ls', 'list services')).action(
    async (flags: ServiceListingFlags) => {
      const { services } = await context().client.get<control.ListServicesResponse>('/v1/services');
      await listServices(services, flags);
    },
  );

  addTaskListingFlags(
    subcommand(command, 'ps', 'list the tasks of services').argument('<service...>'),
  ).action(async (names: string[], flags: TaskListingFlags) => {
    const { client } = context();
    const tasks: control.Task[] = [];
    for (const name of names)
      tasks.push(...(await client.get<control.ListTasksResponse>(servicePath(name, '/tasks'))).tasks);
    await listTasks(client, tasks, flags);
  });

  addTaskLogFlags(
    subcommand(command, 'logs', 'show the output of the tasks of a service').argument('<service>'),
  ).action((name: string, flags: TaskLogFlags) =>
    showTaskLogs(context(), 'service', servicePath(name, '/logs'), flags),
  );

  subcommand(command, 'inspect', 'show everything about services')
    .argument('<service...>')
    .option('-f, --format <format>', "json, or a template such as '{{.service.spec.replicas}}'")
    .action((names: string[], { format }: { format?: string }) =>
      printDocuments('service', names, format, (name) => context().client.get(servicePath(name))),
    );

  addDetachFlag(
    subcommand(command, 'scale', 'say how many tasks services have')
      .argument('<service=replicas...>')
      .usage('[flags] SERVICE=REPLICAS [SERVICE=REPLICAS...]'),
  ).action((words: string[], flags: { detach: boolean }) => scale(context().client, words, flags.detach));

  addDetachFlag(
    subcommand(command, 'update', 'change a service, task after task')
      .argument('<service>')
      .option('--image <image>', 'its tasks are of this image')
      .option('--replicas <count>', 'so many tasks')
      .option('--rollback', 'take back the last change')
      .option('--force', 'make every task anew although nothing changed')
      .option('--with-registry-auth', "send along your credentials for the image's registry"),
  ).action((name: string, flags: UpdateFlags) => update(context(), name, flags));

  subcommand(command, 'rm', 'remove services: their tasks are stopped')
    .argument('<service...>')
    .action((names: string[]) =>
      forEach('service', names, async (name) => {
        await context().client.request('DELETE', servicePath(name));
        return name;
      }),
    );
}

async function scale(client: Client, words: readonly string[], detach: boolean): Promise<void> {
  // All are read before the first is changed.
  const wanted = words.map((word) => {
    const [, name = '', count = ''] = /^([^=]+)=(.*)$/.exec(word) ?? [];
    if (name === '') throw new UsageFailure(`"${word}" is not of the form SERVICE=REPLICAS`);
    return { name, replicas: parseInteger(count, word, { maximum: 100_000 }) };
  });
  await forEach(
    'service',
    wanted.map(({ name }) => name),
    async (name) => {
      const replicas = wanted.findLast((one) => one.name === name)?.replicas ?? 0;
      await client.request('PATCH', servicePath(name), { json: { replicas } });
      return `${name} scaled to ${replicas}`;
    },
  );
  if (!detach) await followAll(client, [...new Set(wanted.map(({ name }) => name))]);
}

/** One after the other; a roll-out that failed does not hide those after it. */
async function followAll(client: Client, names: readonly string[]): Promise<void> {
  let failed = false;
  for (const name of names)
    try {
      await followService(client, name);
    } catch (error) {
      if (!(error instanceof ExitWith)) throw error;
      failed = true;
      complain(`gantry service: ${error.message}`);
    }
  if (failed) throw new ExitWith(1);
}

const followService = (client: Client, name: string): Promise<void> =>
  followRollout(client, 'service', servicePath(name, '/rollout'), {
    name,
    seeAlso: `gantry service ps ${name}`,
  });

interface UpdateFlags {
  image?: string;
  replicas?: string;
  rollback?: boolean;
  force?: boolean;
  withRegistryAuth?: boolean;
  detach: boolean;
}

async function update({ client, environment }: Context, name: string, flags: UpdateFlags): Promise<void> {
  const change = {
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.replicas === undefined
      ? {}
      : { replicas: parseInteger(flags.replicas, '--replicas', { maximum: 100_000 }) }),
    ...(flags.rollback === true ? { rollback: true } : {}),
    ...(flags.force === true ? { force: true } : {}),
  };
  if (Object.keys(change).length === 0)
    throw new UsageFailure('nothing to change: give --image, --replicas, --rollback or --force');
  if (flags.rollback === true && Object.keys(change).length > 1)
    throw new UsageFailure('--rollback takes the whole spec of before: give nothing else with it');
  if (flags.withRegistryAuth === true && flags.image === undefined)
    throw new UsageFailure('--with-registry-auth: credentials go with an --image');
  const credentials =
    flags.withRegistryAuth === true && flags.image !== undefined
      ? await (await import('../flags/registry-credentials.js')).credentialsFor([flags.image], environment)
      : [];
  await client.request('PATCH', servicePath(name), {
    json: { ...change, ...(credentials.length === 0 ? {} : { credentials }) },
  });
  print(name);
  if (!flags.detach) await followService(client, name);
}
