import { GantryError } from '@gantry/protocol';
import { flagOf, listSettings, nodeConfigSchema, variableOf } from './config-schema.js';
import { serviceNames, type ServiceName } from './services.js';

/** A service that runs alone, or the bus' server with its supervisor. */
export type LoneService = ServiceName | 'nats';

export interface CommandLine {
  readonly action: 'run' | 'detach' | 'stop' | 'print-config' | 'help' | 'version';
  /** Undefined: the whole node in this process. */
  readonly service: LoneService | undefined;
  readonly configFile: string | undefined;
  /** With "stop": leave the containers running. */
  readonly keepContainers: boolean;
  /** Configuration values given as flags. */
  readonly settings: ReadonlyMap<string, string>;
}

const actions: Readonly<Record<string, CommandLine['action']>> = {
  '--detach': 'detach',
  '--stop': 'stop',
  '--print-config': 'print-config',
  '--help': 'help',
  '-h': 'help',
  '--version': 'version',
};

const loneServices: readonly string[] = [...serviceNames, 'nats'];

/** Both `--flag value` and `--flag=value`. Throws `invalid_argument` naming what it does not know. */
export function parseCommandLine(words: readonly string[]): CommandLine {
  const settingFlags = new Set(listSettings(nodeConfigSchema).map(flagOf));
  const settings = new Map<string, string>();
  let action: CommandLine['action'] = 'run';
  let service: LoneService | undefined;
  let configFile: string | undefined;
  let keepContainers = false;

  const queue = [...words];
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const flag = equals === -1 ? word : word.slice(0, equals);
    const takeValue = (): string => {
      const value = equals === -1 ? queue.shift() : word?.slice(equals + 1);
      if (value === undefined) throw wrong(`flag ${flag} needs a value`);
      return value;
    };
    const asked = actions[flag];
    if (asked !== undefined) action = asked;
    else if (flag === '--keep-containers') keepContainers = true;
    else if (flag === '--config') configFile = takeValue();
    else if (flag === '--service') {
      const name = takeValue();
      if (!loneServices.includes(name))
        throw wrong(`there is no service ${name}: ${loneServices.join(', ')}`);
      service = name as LoneService;
    } else if (settingFlags.has(flag)) settings.set(flag, takeValue());
    else throw wrong(`unknown ${flag.startsWith('-') ? 'flag' : 'argument'} ${flag}; see gantryd --help`);
  }
  if (keepContainers && action !== 'stop') throw wrong('--keep-containers goes with --stop');
  return { action, service, configFile, keepContainers, settings };
}

export function helpText(): string {
  const settings = listSettings(nodeConfigSchema).map((setting) => {
    const { description = '', default: standard } = setting.schema;
    const shown = standard === undefined || standard === '' ? '' : ` [${JSON.stringify(standard)}]`;
    return `  ${flagOf(setting)}  (${variableOf(setting)})\n      ${description}${shown}`;
  });
  return [
    'usage: gantryd [--config FILE] [--service NAME] [--detach] [settings]',
    '       gantryd --stop [--keep-containers]',
    '       gantryd --print-config | --version | --help',
    '',
    `  --service NAME   one of ${loneServices.join(', ')}; without it, all of them in one process`,
    '  --config FILE    YAML; /etc/gantry/gantry.yaml when there is one',
    '',
    'Ctrl-C (SIGINT) stops containers and takes everything down; SIGTERM leaves containers alone.',
    '',
    'settings: flags beat environment beat file beat [default]',
    ...settings,
    '',
  ].join('\n');
}

function wrong(message: string): GantryError {
  return new GantryError({ code: 'invalid_argument', operation: 'read the command line', message });
}
