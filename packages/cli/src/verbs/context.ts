import type { Command } from 'commander';
import { fingerprintIn, parseRemoteAddress, showRemoteAddress } from '../client/remote-transport.js';
import type { Context, Environment } from '../context.js';
import { defaultContextName, readContexts, writeContexts, type SavedContext } from '../contexts.js';
import { UsageFailure } from '../failures.js';
import { complain, print } from '../output/print.js';
import { printListing } from '../output/table.js';
import { subcommand } from '../subcommand.js';

/** Contexts are files of whoever types: no api is asked. */
export function configureContext(command: Command, _context: () => Context): void {
  command.usage('VERB');
  const environment: Environment = process.env;

  subcommand(command, 'create', 'keep the address of an api and a token for it under a name')
    .argument('<name>')
    .requiredOption(
      '--host <address>',
      'tcp://ADDRESS[:PORT] of a member of a cluster, or unix:///path/to/api.sock',
    )
    .option('--token <token>', 'made by `gantry api-token create` (default: GANTRY_TOKEN)')
    .option('--use', 'and use it from now on')
    .action((name: string, flags: { host: string; token?: string; use?: boolean }) => {
      const saved = checkContext(name, flags.host, flags.token ?? environment['GANTRY_TOKEN'] ?? '');
      const { current, contexts } = readContexts(environment);
      if (contexts[name] !== undefined)
        throw new UsageFailure(`there is a context "${name}" already: remove it first`);
      writeContexts(environment, {
        current: flags.use === true ? name : current,
        contexts: { ...contexts, [name]: saved },
      });
      print(name);
    });

  subcommand(command, 'use', 'talk to the api of a context from now on')
    .argument('<name>', `"${defaultContextName}" is this node`)
    .action((name: string) => {
      const { contexts } = readContexts(environment);
      find(contexts, name);
      writeContexts(environment, { current: name, contexts });
      print(name);
    });

  subcommand(command, 'ls', 'list contexts')
    .option('-q, --quiet', 'names only')
    .option('--format <format>', "table, json, or a template such as '{{.Name}} {{.Host}}'")
    .action(async (flags: { quiet?: boolean; format?: string }) => {
      const { current, contexts } = readContexts(environment);
      const all = [[defaultContextName, { host: 'this node' }] as const, ...Object.entries(contexts)];
      await printListing(
        {
          columns: [
            ['NAME', 'Name'],
            ['CURRENT', 'Mark'],
            ['HOST', 'Host'],
          ],
          rows: all.map(([name, { host }]) => ({
            Name: name,
            Current: name === current,
            Mark: name === current ? '*' : '',
            Host: host,
          })),
        },
        { format: flags.format, quiet: flags.quiet === true && 'Name' },
      );
    });

  subcommand(command, 'show', 'print the name of the context in use').action(() => {
    print(environment['GANTRY_CONTEXT'] ?? readContexts(environment).current);
  });

  subcommand(command, 'rm', 'forget contexts')
    .argument('<name...>')
    .action((names: string[]) => {
      for (const name of names) {
        remove(environment, name);
        print(name);
      }
    });
}

function remove(environment: Environment, name: string): void {
  if (name === defaultContextName) throw new UsageFailure(`"${name}" is this node: it stays`);
  const { current, contexts } = readContexts(environment);
  find(contexts, name);
  if (name === current) complain(`gantry context: "${name}" was in use; from now on this node is`);
  writeContexts(environment, {
    current: name === current ? defaultContextName : current,
    contexts: Object.fromEntries(Object.entries(contexts).filter(([one]) => one !== name)),
  });
}

function find(contexts: Readonly<Record<string, SavedContext>>, name: string): void {
  if (name !== defaultContextName && contexts[name] === undefined)
    throw new UsageFailure(`there is no context "${name}"`);
}

function checkContext(name: string, host: string, token: string): SavedContext {
  if (!/^[A-Za-z0-9][\w.-]{0,62}$/.test(name) || name === defaultContextName)
    throw new UsageFailure(
      `"${name}" cannot be a context's name: letters, digits, "_", "." and "-", not "default"`,
    );
  if (/^unix:(?:\/\/)?\/./.test(host)) return { host, token: '' };
  const remote = parseRemoteAddress(host);
  if (remote === undefined)
    throw new UsageFailure(
      `--host: "${host}" is not of the form tcp://ADDRESS[:PORT] or unix:///path/to/api.sock`,
    );
  fingerprintIn(token, '--token');
  return { host: showRemoteAddress(remote), token };
}
