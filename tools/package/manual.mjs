// Manual pages from what the programs themselves know: they cannot be out of date.
import { Command } from 'commander';
import { verbs } from '../../packages/cli/dist/verbs.js';
import { helpText } from '../../packages/gantryd/dist/command-line.js';
import {
  flagOf,
  listSettings,
  nodeConfigSchema,
  variableOf,
} from '../../packages/gantryd/dist/config-schema.js';
import { bold, heading, item, literal, paragraph, subheading, title } from './roff.mjs';

/** @typedef {{ version: string, date: string }} Release */

/** gantry(1): a section for each group of verbs, a part for each verb. @param {Release} release */
export async function commandLineManual(release) {
  const groups = new Map();
  for (const verb of verbs) {
    if (verb.hidden === true) continue;
    const command = new Command(verb.name).description(verb.summary).helpOption('--help', 'show this');
    (await verb.load())(command, () => {
      throw new Error(`${verb.name} asks for the node before it is run`);
    });
    if (!groups.has(verb.group)) groups.set(verb.group, []);
    groups.get(verb.group).push(...describeCommand(command, `gantry ${verb.name}`));
  }
  return page([
    title({ name: 'gantry', section: 1, ...release, manual: 'Gantry' }),
    heading('NAME'),
    'gantry \\- containers of this node, and of a small cluster',
    heading('SYNOPSIS'),
    bold('gantry [--host ADDRESS] [--context NAME] VERB [flags] [arguments]'),
    heading('DESCRIPTION'),
    paragraph(
      'The words and flags are those of docker where docker has them; what Gantry does not do is refused by name. ' +
        'The node is run by gantryd(8).',
    ),
    heading('GLOBAL FLAGS'),
    item('-H, --host ADDRESS', 'where gantry listens: unix:///run/gantry/api.sock, or tcp://ADDRESS:PORT'),
    item('--context NAME', 'address and token that "gantry context create" has kept'),
    item('--version', 'show the version'),
    item('--help', 'show the verbs; after a verb, its flags'),
    ...[...groups].flatMap(([group, parts]) => [heading(group.toUpperCase()), ...parts]),
    heading('EXIT STATUS'),
    paragraph(
      'That of the container where one is run. 125 for a failure of Gantry itself, 126 and 127 for a command that cannot ' +
        'be run or is not there; 1 for failures of the other verbs.',
    ),
    heading('ENVIRONMENT'),
    item('GANTRY_HOST', 'as --host'),
    item('GANTRY_TOKEN', 'what a node asked over tcp is shown'),
    item('GANTRY_CONTEXT', 'as --context'),
    item('GANTRY_RUN_DIR', "the node's run directory, which holds the socket"),
    heading('FILES'),
    item('/run/gantry/api.sock', 'where the node listens; root and members of the group gantry may use it'),
    heading('SEE ALSO'),
    'gantryd(8)',
  ]);
}

/** The command's own help, and that of the commands below it. */
function describeCommand(command, name) {
  const help = command.createHelp();
  const inner = help.visibleCommands(command).filter((one) => one.name() !== 'help');
  const parts = [subheading(name), paragraph(sentence(command.description()))];
  if (inner.length === 0) parts.push('.PP', bold(`${name} ${command.usage()}`.trimEnd()));
  for (const argument of help.visibleArguments(command))
    parts.push(item(help.argumentTerm(argument), help.argumentDescription(argument)));
  for (const option of help.visibleOptions(command).filter(({ long }) => long !== '--help'))
    parts.push(item(help.optionTerm(option), help.optionDescription(option)));
  return [...parts, ...inner.flatMap((one) => describeCommand(one, `${name} ${one.name()}`))];
}

/** gantryd(8): every key of the configuration. @param {Release} release */
export function daemonManual(release) {
  const help = helpText();
  const synopsis = help.split('\n\n')[0].replace(/^(usage: | {7})/gm, '');
  const told = (flag) => help.match(new RegExp(`${flag}\\s+(.*)`))?.[1] ?? '';
  const sections = new Map();
  for (const setting of listSettings(nodeConfigSchema)) {
    const section = setting.path.length > 1 ? setting.path[0] : '';
    if (!sections.has(section)) sections.set(section, []);
    sections.get(section).push(setting);
  }
  return page([
    title({ name: 'gantryd', section: 8, ...release, manual: 'Gantry' }),
    heading('NAME'),
    'gantryd \\- run a node of Gantry',
    heading('SYNOPSIS'),
    literal(synopsis),
    heading('DESCRIPTION'),
    paragraph(
      "gantryd runs the services of a node, all in one process or each in its own, and the node's nats-server, which " +
        'carries their messages. Ctrl-C (SIGINT) stops the containers and takes everything down; SIGTERM stops Gantry and ' +
        'leaves the containers, which the next gantryd takes over.',
    ),
    heading('FLAGS'),
    item('--service NAME', told('  --service NAME')),
    item('--config FILE', told('  --config FILE')),
    item('--detach', 'start in the background and return when the node answers'),
    item('--stop', 'stop containers and node, give back everything'),
    item('--stop --keep-containers', 'stop the node and leave the containers'),
    item('--print-config', 'show the effective configuration, secrets masked'),
    item('--version', 'show the version'),
    item('--help', 'show flags and settings'),
    heading('CONFIGURATION'),
    paragraph(
      'Flags beat environment beat /etc/gantry/gantry.yaml beat default. A key that is not known is an error. Each key is ' +
        'given with its default, its flag and its variable.',
    ),
    ...[...sections].flatMap(([section, settings]) => [
      ...(section === '' ? [] : [subheading(section)]),
      ...settings.map(describeSetting),
    ]),
    heading('FILES'),
    item('/etc/gantry/gantry.yaml', 'the configuration'),
    item('/var/lib/gantry', 'images, containers, volumes, keys: what outlives a reboot'),
    item('/run/gantry', 'sockets, pid files, sandboxes: what a reboot empties'),
    heading('SEE ALSO'),
    'gantry(1)',
  ]);
}

function describeSetting(setting) {
  const { description = '', default: standard } = setting.schema;
  const shown = standard === undefined || standard === '' ? '' : ` Default: ${JSON.stringify(standard)}.`;
  const words = `${sentence(description)}${shown}`.trim();
  return item(setting.path.join('.'), `${words}\n${flagOf(setting)}, ${variableOf(setting)}`.trim());
}

function sentence(text) {
  if (text === '') return '';
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

const page = (parts) => `${parts.join('\n')}\n`;
