import type { Command } from 'commander';

/** A verb below a verb; failures are thrown as everywhere. */
export function subcommand(parent: Command, name: string, summary: string): Command {
  return parent
    .helpCommand(false)
    .command(name)
    .summary(summary)
    .description(summary)
    .helpOption('--help', 'show this')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(false);
}
