import type { control } from '@gantry/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Client } from '../client/client.js';
import { ExitWith, isApiFailure } from '../failures.js';
import { createRolloutView } from '../output/rollout-view.js';
import { complain } from '../output/print.js';

/** How long nobody may answer: another leader is elected in less. */
const patienceMs = 60_000;
const askEveryMs = 500;

/** `--detach=false` stays until the roll-out has ended; by itself a command returns when it is begun. */
export function addDetachFlag(command: Command): Command {
  return command
    .option('-d, --detach', 'return at once; --detach=false shows the roll-out until it has ended', true)
    .addOption(new Option('--no-detach', 'show the roll-out until it has ended').hideHelp());
}

/**
 * Shows a roll-out until it has converged, or fails with the reasons why it cannot. A leader that changes meanwhile is
 * asked again. Ctrl-C leaves it going.
 */
export async function followRollout(
  client: Client,
  verb: string,
  path: string,
  what: { readonly name: string; readonly seeAlso: string },
): Promise<void> {
  const view = createRolloutView(process.stdout);
  const onInterrupt = (): void => {
    view.finish();
    complain(`gantry ${verb}: the roll-out of ${what.name} goes on; \`${what.seeAlso}\` shows how far it is`);
    process.exit(130);
  };
  process.once('SIGINT', onInterrupt);
  try {
    const failed = await lastWord(client, path, (progress) => view.show(progress));
    view.finish();
    if (failed !== '') throw new ExitWith(1, `${what.name} did not converge: ${failed}`);
  } finally {
    view.finish();
    process.off('SIGINT', onInterrupt);
  }
}

/** Why it failed; empty when it converged. */
async function lastWord(
  client: Client,
  path: string,
  show: (services: readonly control.ServiceProgress[]) => void,
): Promise<string> {
  let lastHeard = performance.now();
  for (;;) {
    try {
      for await (const line of await client.lines<control.WatchRolloutResponse>('GET', path)) {
        lastHeard = performance.now();
        show(line.services);
        if (line.failed !== '') return line.failed;
        if (line.converged) return '';
      }
    } catch (error) {
      const passes = isApiFailure(error, 'unavailable') || isApiFailure(error, 'deadline_exceeded');
      if (!passes || performance.now() - lastHeard > patienceMs) throw error;
    }
    await sleep(askEveryMs);
  }
}
