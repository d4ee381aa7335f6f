import type { Command } from 'commander';
import { containerPath } from '../client/client.js';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import type { ContainerFlags } from '../flags/container-flags.js';
import { resourcesFrom } from '../flags/container-spec.js';
import { parseRestart } from '../flags/pairs.js';
import { complain } from '../output/print.js';
import { forEach } from './lifecycle.js';

export function configureUpdate(command: Command, context: () => Context): void {
  command
    .argument('<container...>')
    .usage('flags CONTAINER [CONTAINER...]')
    .option('--cpu-period <microseconds>', 'CFS period')
    .option('--cpu-quota <microseconds>', 'CFS quota')
    .option('-c, --cpu-shares <weight>', 'relative weight, 1024 is usual')
    .option('--cpus <number>', 'number of processors, such as 0.5')
    .option('--cpuset-cpus <list>', 'processors it may run on, such as 0-3,7')
    .option('--cpuset-mems <list>', 'memory nodes it may use')
    .option('-m, --memory <size>', 'memory limit, such as 64m')
    .option('--memory-reservation <size>', 'soft memory limit')
    .option('--memory-swap <size>', 'memory and swap together, -1 for unlimited swap')
    .option('--pids-limit <number>', 'processes and threads, -1 for unlimited')
    .option('--restart <policy>', 'no, always, unless-stopped or on-failure[:maximum]')
    .action((names: string[], flags: ContainerFlags) => {
      const resources = resourcesFrom(flags);
      const restartPolicy = flags.restart === undefined ? undefined : parseRestart(flags.restart);
      if (resources === undefined && restartPolicy === undefined)
        throw new UsageFailure('no flag says what to change');
      return forEach('update', names, async (name) => {
        const { warnings } = await context().client.request<{ warnings: string[] }>(
          'PATCH',
          containerPath(name),
          {
            json: {
              ...(resources === undefined ? {} : { resources }),
              ...(restartPolicy === undefined ? {} : { restartPolicy }),
            },
          },
        );
        for (const warning of warnings) complain(`warning: ${warning}`);
        return name;
      });
    });
}
