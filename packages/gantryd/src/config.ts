import { readFileSync } from 'node:fs';
import { GantryError } from '@gantry/protocol';
import { Ajv, type ErrorObject } from 'ajv';
import { parseDocument, stringify } from 'yaml';
import {
  flagOf,
  listSettings,
  nodeConfigSchema,
  variableOf,
  type NodeConfig,
  type Setting,
} from './config-schema.js';
import { isErrno } from './state-file.js';

export const defaultConfigPath = '/etc/gantry/gantry.yaml';

export interface ConfigSources {
  /** Undefined: the default path, if there is a file. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Values by flag name, for instance "--state-dir". */
  readonly flags: ReadonlyMap<string, string>;
}

type Tree = Record<string, unknown>;

const validate = new Ajv({ allErrors: true, useDefaults: true, strict: false }).compile<NodeConfig>(
  nodeConfigSchema,
);

/**
 * Flags beat environment beat file beat default. Throws `invalid_argument` with one sentence for every wrong key or
 * value, each naming where it stands.
 */
export function loadConfig(sources: ConfigSources): NodeConfig {
  const { tree, name } = readFile(sources);
  checkTree(tree, name);
  const settings = listSettings(nodeConfigSchema);
  const origins = new Map<string, string>();
  for (const setting of settings) {
    const variable = sources.environment[variableOf(setting)];
    if (variable !== undefined && variable !== '')
      apply(tree, setting, variable, variableOf(setting), origins);
    const flag = sources.flags.get(flagOf(setting));
    if (flag !== undefined) apply(tree, setting, flag, flagOf(setting), origins);
  }
  checkTree(tree, name, origins);
  return deepFreeze(tree) as unknown as NodeConfig;
}

/** The effective configuration as YAML, secrets masked. */
export function printConfig(config: NodeConfig): string {
  const shown = structuredClone(config) as unknown as Tree;
  for (const { path, schema } of listSettings(nodeConfigSchema)) {
    if (schema.writeOnly !== true) continue;
    const holder = path.slice(0, -1).reduce((at, key) => at[key] as Tree, shown);
    const key = path.at(-1) ?? '';
    if (holder[key] !== '' && holder[key] !== undefined) holder[key] = '******';
  }
  return stringify(shown);
}

function readFile({ file }: ConfigSources): { tree: Tree; name: string } {
  const name = file ?? defaultConfigPath;
  let text: string;
  try {
    text = readFileSync(name, 'utf8');
  } catch (cause) {
    if (file === undefined && isErrno(cause, 'ENOENT')) return { tree: {}, name };
    throw wrong(`${name} cannot be read: ${(cause as Error).message}`, cause);
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined)
    throw wrong(`${name} is not YAML: ${error.message.split('\n')[0]?.replace(/:$/, '')}`, error);
  const tree: unknown = document.toJS() ?? {};
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree))
    throw wrong(`${name} is not a map of settings`);
  // "nats:" with nothing below it is an empty section.
  return { tree: Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, value ?? {}])), name };
}

function apply(
  tree: Tree,
  setting: Setting,
  text: string,
  origin: string,
  origins: Map<string, string>,
): void {
  const holder = setting.path.slice(0, -1).reduce((at, key) => (at[key] ??= {}) as Tree, tree);
  holder[setting.path.at(-1) ?? ''] = parseValue(setting, text);
  origins.set(`/${setting.path.join('/')}`, origin);
}

/** What cannot be converted stays text, and the schema says what it should have been. */
function parseValue({ schema }: Setting, text: string): unknown {
  switch (schema.type) {
    case 'integer':
    case 'number':
      return /^-?(0x[0-9a-f]+|\d+(\.\d+)?)$/i.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'array':
      return text === '' ? [] : text.split(',').map((item) => item.trim());
    default:
      return text;
  }
}

function checkTree(tree: Tree, file: string, origins: ReadonlyMap<string, string> = new Map()): void {
  if (validate(tree)) return;
  const sentences = (validate.errors ?? []).map((error) => describe(error, file, origins));
  throw wrong([...new Set(sentences)].join('; '));
}

function describe(error: ErrorObject, file: string, origins: ReadonlyMap<string, string>): string {
  const key = error.instancePath.slice(1).replaceAll('/', '.');
  if (error.keyword === 'additionalProperties') {
    const unknownKey = String((error.params as { additionalProperty: unknown }).additionalProperty);
    return `${file}: unknown key ${key === '' ? unknownKey : `${key}.${unknownKey}`}`;
  }
  const origin = origins.get(error.instancePath);
  const subject = origin ?? `${file}: ${key}`;
  if (error.keyword === 'enum') {
    const { allowedValues } = error.params as { allowedValues: readonly unknown[] };
    return `${subject} must be one of ${allowedValues.join(', ')}`;
  }
  if (error.keyword === 'pattern' && /(_dir)$/.test(key)) return `${subject} must be an absolute path`;
  return `${subject} ${error.message ?? 'is wrong'}`;
}

function wrong(message: string, cause?: unknown): GantryError {
  return new GantryError({ code: 'invalid_argument', operation: 'load configuration', message, cause });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
