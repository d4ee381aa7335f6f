import type { Command } from 'commander';
import type { NodeEvent } from '../client/types.js';
import type { Context } from '../context.js';
import { checkFilter } from '../flags/pairs.js';
import { parseMoment } from '../flags/quantities.js';
import { formatNanos } from '../output/human.js';
import { print } from '../output/print.js';

interface EventFlags {
  filter?: string[];
  format?: string;
  since?: string;
  until?: string;
}

export function configureEvents(command: Command, context: () => Context): void {
  command
    .usage('[flags]')
    .option(
      '-f, --filter <key=value>',
      'type, event, container, image, label or volume',
      (value: string, before: string[] = []) => [...before, value],
    )
    .option('--format <format>', "json, or a template such as '{{.Action}} {{.ID}}'")
    .option(
      '--since <moment>',
      'also what happened since: 10m (ago), 2026-01-31T12:00:00Z or seconds since 1970',
    )
    .option('--until <moment>', 'end then')
    .action((flags: EventFlags) => watchEvents(context(), flags));
}

async function watchEvents({ client }: Context, flags: EventFlags): Promise<void> {
  const now = Date.now();
  const template =
    flags.format === undefined || flags.format === 'json'
      ? undefined
      : (await import('../output/template.js')).compileTemplate(flags.format);
  const events = await client.lines<NodeEvent>('GET', '/v1/events', {
    query: {
      sinceUnixNanos: flags.since === undefined ? undefined : parseMoment(flags.since, '--since', now),
      untilUnixNanos: flags.until === undefined ? undefined : parseMoment(flags.until, '--until', now),
      filter: (flags.filter ?? []).map(checkFilter),
    },
  });
  for await (const event of events) {
    if (template !== undefined) print(template(documentOf(event)));
    else print(flags.format === 'json' ? JSON.stringify(documentOf(event)) : lineOf(event));
  }
}

/** Docker-shaped. */
export function documentOf({
  type,
  action,
  id,
  attributes,
  timeUnixNanos,
}: NodeEvent): Record<string, unknown> {
  return {
    Type: type,
    Action: action,
    ID: id,
    id,
    status: action,
    Actor: { ID: id, Attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, value])) },
    scope: 'local',
    time: Math.floor(timeUnixNanos / 1e9),
    timeNano: timeUnixNanos,
  };
}

export function lineOf({ type, action, id, attributes, timeUnixNanos }: NodeEvent): string {
  const more = attributes.map(({ key, value }) => `${key}=${value}`).join(', ');
  return `${formatNanos(timeUnixNanos)} ${type} ${action} ${id}${more === '' ? '' : ` (${more})`}`;
}
