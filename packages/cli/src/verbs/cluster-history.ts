import type { common, control } from '@gantry/protocol';
import type { Command } from 'commander';
import type { Context } from '../context.js';
import { filterBy, gather } from '../flags/filters.js';
import { parseInteger, parseMoment } from '../flags/quantities.js';
import { humanTime } from '../output/human.js';
import { print } from '../output/print.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';
import { documentOf, lineOf } from './events.js';

interface EventFlags {
  filter?: string[];
  format?: string;
  since?: string;
}

export function eventsSubcommand(command: Command, context: () => Context): void {
  subcommand(command, 'events', 'show what happens in the cluster')
    .option('-f, --filter <key=value>', 'type, event or id', gather)
    .option('--format <format>', "json, or a template such as '{{.Action}} {{.ID}}'")
    .option(
      '--since <moment>',
      'also what happened since: 10m (ago), 2026-01-31T12:00:00Z or seconds since 1970',
    )
    .action((flags: EventFlags) => watchEvents(context(), flags));
}

async function watchEvents({ client }: Context, flags: EventFlags): Promise<void> {
  const template =
    flags.format === undefined || flags.format === 'json'
      ? undefined
      : (await import('../output/template.js')).compileTemplate(flags.format);
  const fits = filterBy<common.NodeEvent>(flags.filter, {
    type: ({ type }, value) => type === value,
    event: ({ action }, value) => action === value,
    id: ({ id }, value) => id.startsWith(value),
  });
  const sinceUnixNanos =
    flags.since === undefined ? undefined : parseMoment(flags.since, '--since', Date.now());
  const events = await client.lines<common.NodeEvent>('GET', '/v1/cluster/events', {
    query: { sinceUnixNanos },
  });
  for await (const event of events) {
    if (!fits(event)) continue;
    if (template !== undefined) print(template(documentOf(event)));
    else print(flags.format === 'json' ? JSON.stringify(documentOf(event)) : lineOf(withoutEmpty(event)));
  }
}

/** A task has nothing to say most of the time. */
const withoutEmpty = (event: common.NodeEvent): common.NodeEvent => ({
  ...event,
  attributes: event.attributes.filter(({ value }) => value !== ''),
});

interface AuditFlags {
  limit: string;
  format?: string;
  filter?: string[];
}

export function auditSubcommand(command: Command, context: () => Context): void {
  subcommand(command, 'audit', 'show who changed what, newest first')
    .option('-n, --limit <count>', 'at most so many, 1 to 1000', '100')
    .option('-f, --filter <key=value>', 'actor, operation, object or result', gather)
    .option('--format <format>', "table, json, or a template such as '{{.Actor}} {{.Operation}}'")
    .action((flags: AuditFlags) => showAudit(context(), flags));
}

async function showAudit({ client }: Context, flags: AuditFlags): Promise<void> {
  const fits = filterBy<control.AuditEntry>(flags.filter, {
    actor: ({ actor }, value) => actor.includes(value),
    operation: ({ operation }, value) => operation === value,
    object: ({ object }, value) => object.includes(value),
    result: ({ result }, value) => result === value,
  });
  const limit = parseInteger(flags.limit, '--limit', { minimum: 1, maximum: 1000 });
  const { entries } = await client.get<control.ListAuditEntriesResponse>('/v1/cluster/audit', { limit });
  const rows = entries.filter(fits).map((entry) => ({
    Time: humanTime(entry.timeUnixMs),
    Actor: entry.actor,
    Operation: entry.operation,
    Object: entry.object,
    Result: entry.result,
    RequestID: entry.requestId,
  }));
  await printListing(
    {
      columns: [
        ['TIME', 'Time'],
        ['ACTOR', 'Actor'],
        ['OPERATION', 'Operation'],
        ['OBJECT', 'Object'],
        ['RESULT', 'Result'],
        ['REQUEST', 'RequestID'],
      ],
      rows,
    },
    { format: flags.format },
  );
}
