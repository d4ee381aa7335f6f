import type { control } from '@gantry/protocol';
import { Option, type Command } from 'commander';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import { parseDuration } from '../flags/quantities.js';
import { humanTime } from '../output/human.js';
import { complain, print } from '../output/print.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';
import { forEach } from './lifecycle.js';

export function configureApiToken(command: Command, context: () => Context): void {
  command.usage('VERB');

  subcommand(command, 'create', 'make a token for the api over TLS')
    .argument('<name>', 'how lists and the audit log name its bearer')
    .addOption(
      new Option(
        '--role <role>',
        "metrics: only Prometheus' paths; read: all there is to see; admin: all that root may",
      )
        .choices(['metrics', 'read', 'admin'])
        .default('read'),
    )
    .option('--ttl <duration>', 'the token ends after this time (default: never)')
    .action(async (name: string, flags: { role: string; ttl?: string }) => {
      const ttlSeconds = flags.ttl === undefined ? 0 : Math.ceil(parseDuration(flags.ttl, '--ttl') / 1000);
      if (flags.ttl !== undefined && ttlSeconds === 0)
        throw new UsageFailure('--ttl: a token that ends at once is of no use');
      const { token } = await context().client.post<control.CreateApiTokenResponse>('/v1/api-tokens', {
        name,
        role: flags.role,
        ttlSeconds,
      });
      print(token);
      complain('it is shown this once; use it as GANTRY_TOKEN, or with `gantry context create`');
    });

  subcommand(command, 'ls', 'list tokens, without their secrets')
    .option('-q, --quiet', 'ids only')
    .option('--format <format>', "table, json, or a template such as '{{.Name}} {{.Role}}'")
    .action((flags: { quiet?: boolean; format?: string }) => listTokens(context(), flags));

  subcommand(command, 'rm', 'revoke tokens: they end at once')
    .argument('<token...>', 'names or ids')
    .action((names: string[]) =>
      forEach('api-token', names, async (name) => {
        await context().client.request('DELETE', `/v1/api-tokens/${encodeURIComponent(name)}`);
        return name;
      }),
    );
}

async function listTokens({ client }: Context, flags: { quiet?: boolean; format?: string }): Promise<void> {
  const { tokens } = await client.get<control.ListApiTokensResponse>('/v1/api-tokens');
  const rows = tokens
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map(({ id, name, role, createdUnixMs, expiresUnixMs }) => ({
      ID: id,
      Name: name,
      Role: role,
      CreatedAt: humanTime(createdUnixMs),
      ExpiresAt: expiresUnixMs === 0 ? 'never' : humanTime(expiresUnixMs),
    }));
  await printListing(
    {
      columns: [
        ['ID', 'ID'],
        ['NAME', 'Name'],
        ['ROLE', 'Role'],
        ['CREATED', 'CreatedAt'],
        ['EXPIRES', 'ExpiresAt'],
      ],
      rows,
    },
    { format: flags.format, quiet: flags.quiet === true && 'ID' },
  );
}
