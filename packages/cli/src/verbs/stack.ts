import type { control } from '@gantry/protocol';
import type { Command } from 'commander';
import { stackPath } from '../client/client.js';
import type { Context } from '../context.js';
import { gather } from '../flags/filters.js';
import { humanAge } from '../output/human.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';
import { forEach } from './lifecycle.js';
import { addDetachFlag } from './rollout.js';
import { addServiceListingFlags, listServices, type ServiceListingFlags } from './service-listing.js';
import { addTaskListingFlags, listTasks, type TaskListingFlags } from './task-listing.js';
import { addTaskLogFlags, showTaskLogs, type TaskLogFlags } from './task-logs.js';
import type { DeployFlags } from './stack-deploy.js';

export function configureStack(command: Command, context: () => Context): void {
  command.usage('VERB');

  addDetachFlag(
    subcommand(command, 'deploy', 'make services of compose files, or bring them to what the files say')
      .argument('<stack>')
      .usage('[flags] -c FILE [-c FILE...] STACK')
      .option(
        '-c, --compose-file <file>',
        'a compose file, or - for standard input; later ones change earlier ones',
        gather,
      )
      .option('--prune', 'remove services that the files do not name')
      .option('--with-registry-auth', "send along your credentials for the images' registries"),
  ).action(async (stack: string, flags: DeployFlags) =>
    (await import('./stack-deploy.js')).deployStack(context(), stack, flags),
  );

  subcommand(command, 'ls', 'list stacks')
    .option('-q, --quiet', 'names only')
    .option('--format <format>', "table, json, or a template such as '{{.Name}} {{.Services}}'")
    .action((flags: { quiet?: boolean; format?: string }) => listStacks(context(), flags));

  addTaskListingFlags(subcommand(command, 'ps', 'list the tasks of a stack').argument('<stack>')).action(
    async (stack: string, flags: TaskListingFlags) => {
      const { client } = context();
      const { tasks } = await client.get<control.ListTasksResponse>(stackPath(stack, '/tasks'));
      await listTasks(client, tasks, flags);
    },
  );

  addServiceListingFlags(
    subcommand(command, 'services', 'list the services of a stack').argument('<stack>'),
  ).action(async (stack: string, flags: ServiceListingFlags) => {
    const { services } = await context().client.get<control.ListServicesResponse>(
      stackPath(stack, '/services'),
    );
    await listServices(services, flags);
  });

  addTaskLogFlags(
    subcommand(command, 'logs', 'show the output of the tasks of a stack').argument('<stack>'),
  ).action((stack: string, flags: TaskLogFlags) =>
    showTaskLogs(context(), 'stack', stackPath(stack, '/logs'), flags),
  );

  subcommand(command, 'rm', 'remove stacks: their tasks are stopped')
    .argument('<stack...>')
    .action((names: string[]) =>
      forEach('stack', names, async (name) => {
        const answer = await context().client.request<control.RemoveStackResponse | undefined>(
          'DELETE',
          stackPath(name),
        );
        return [...(answer?.services ?? []).map((service) => `Removing service ${name}_${service}`)].join(
          '\n',
        );
      }),
    );
}

async function listStacks({ client }: Context, flags: { quiet?: boolean; format?: string }): Promise<void> {
  const { stacks } = await client.get<control.ListStacksResponse>('/v1/stacks');
  const rows = stacks
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map((stack) => ({
      Name: stack.name,
      Services: String(stack.services),
      Tasks: `${stack.tasksRunning}/${stack.tasksWanted}`,
      Updated: stack.removing ? 'being removed' : humanAge(stack.updatedUnixMs),
      Version: String(stack.version),
    }));
  await printListing(
    {
      columns: [
        ['NAME', 'Name'],
        ['SERVICES', 'Services'],
        ['TASKS', 'Tasks'],
        ['UPDATED', 'Updated'],
      ],
      rows,
    },
    { format: flags.format, quiet: flags.quiet === true && 'Name' },
  );
}
