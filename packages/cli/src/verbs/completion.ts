import type { control } from '@gantry/protocol';
import { Command } from 'commander';
import type { ContainerSummary, Image, Volume } from '../client/types.js';
import type { Client } from '../client/client.js';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import { print } from '../output/print.js';
import type { Verb } from '../verb.js';
import { defaultContextName, readContexts } from '../contexts.js';
import { familiarName } from './images.js';
import { hostnamesById } from './node-names.js';
import { serviceTitle } from './service-listing.js';

const scripts: Readonly<Record<string, string>> = {
  bash: `# gantry completion for bash: source <(gantry completion bash)
_gantry() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(gantry __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _gantry gantry`,
  zsh: `#compdef gantry
# gantry completion for zsh: source <(gantry completion zsh)
_gantry() {
  local -a candidates
  candidates=("\${(@f)$(gantry __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a candidates
}
compdef _gantry gantry`,
  fish: `# gantry completion for fish: gantry completion fish | source
complete -c gantry -f -a '(gantry __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'`,
};

export function configureCompletion(command: Command): void {
  command
    .argument('<shell>', 'bash, zsh or fish')
    .usage('SHELL')
    .action((shell: string) => {
      const script = scripts[shell];
      if (script === undefined)
        throw new UsageFailure(`there is no completion for "${shell}"; there is for bash, zsh and fish`);
      print(script);
    });
}

/** `gantry __complete -- WORDS...`: candidates for the last word, one a line. */
export const configureWordsOf =
  (verbs: readonly Verb[]) =>
  (command: Command, context: () => Context): void => {
    command
      .argument('[words...]')
      .passThroughOptions()
      .allowUnknownOption()
      .action(async (words: string[]) => {
        for (const word of await candidates(verbs, words, context)) print(word);
      });
  };

const containerVerbs = new Set(
  'start stop restart kill pause unpause rm wait rename update logs exec attach top port inspect stats explain'.split(
    ' ',
  ),
);
const imageVerbs = new Set(['run', 'create', 'rmi', 'tag', 'inspect', 'pull']);

async function candidates(
  verbs: readonly Verb[],
  words: readonly string[],
  context: () => Context,
): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  const [name, second] = words.slice(0, -1).filter((word) => !word.startsWith('-'));
  const fitting = (all: readonly string[]): string[] =>
    [...new Set(all)].filter((one) => one.startsWith(typed)).sort();
  if (name === undefined)
    return fitting(verbs.filter(({ hidden }) => hidden !== true).map((verb) => verb.name));
  const verb = verbs.find((one) => one.name === name);
  if (verb === undefined) return [];
  const command = new Command(name);
  (await verb.load())(command, context);
  const inner = command.commands.find((one) => one.name() === second) ?? command;
  const flag = inner.options.find(({ short, long }) => [short, long].includes(words.at(-2)));
  if (flag?.argChoices !== undefined) return fitting(flag.argChoices);
  if (typed.startsWith('-'))
    return fitting(
      [...inner.options.flatMap(({ short, long }) => [short, long]), '--help'].filter(
        (one) => one !== undefined,
      ),
    );
  if (command.commands.length > 0 && inner === command)
    return fitting(command.commands.map((one) => one.name()));
  if (name === 'context') return fitting(inner.name() === 'create' ? [] : contextNames());
  return fitting(await namesFor(name, second, context().client).catch(() => []));
}

async function namesFor(verb: string, inner: string | undefined, client: Client): Promise<string[]> {
  const names: string[] = [];
  if (verb === 'completion') return ['bash', 'zsh', 'fish'];
  if (verb === 'volume' && inner !== 'create' && inner !== 'ls')
    names.push(...(await client.get<{ volumes: Volume[] }>('/v1/volumes')).volumes.map(({ name }) => name));
  names.push(...(await clusterNames(verb, inner ?? '', client)));
  if (containerVerbs.has(verb))
    names.push(
      ...(
        await client.get<{ containers: ContainerSummary[] }>('/v1/containers', { all: true })
      ).containers.map(({ name }) => name),
    );
  if (imageVerbs.has(verb))
    names.push(
      ...(await client.get<{ images: Image[] }>('/v1/images')).images.flatMap(({ references }) =>
        references.map(familiarName),
      ),
    );
  return names;
}

const contextNames = (): string[] => [defaultContextName, ...Object.keys(readContexts(process.env).contexts)];

async function clusterNames(verb: string, inner: string, client: Client): Promise<string[]> {
  if (inner === 'ls') return [];
  switch (verb) {
    case 'node':
      return [...(await hostnamesById(client)).values()];
    case 'stack':
      return (await client.get<control.ListStacksResponse>('/v1/stacks')).stacks.map(({ name }) => name);
    case 'service':
      return (await client.get<control.ListServicesResponse>('/v1/services')).services.map(serviceTitle);
    case 'api-token':
      if (inner !== 'rm') return [];
      return (await client.get<control.ListApiTokensResponse>('/v1/api-tokens')).tokens.map(
        ({ name }) => name,
      );
    default:
      return [];
  }
}
