import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { UsageFailure } from './failures.js';

/** The context that is always there: this node. */
export const defaultContextName = 'default';

export interface SavedContext {
  readonly host: string;
  /** Empty for sockets. */
  readonly token: string;
}

export interface Contexts {
  readonly current: string;
  readonly contexts: Readonly<Record<string, SavedContext>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

function directoryOf(environment: Environment): string {
  const configured = environment['XDG_CONFIG_HOME'] ?? '';
  return `${configured === '' ? `${environment['HOME'] ?? ''}/.config` : configured}/gantry`;
}

/** None when there is no file. */
export function readContexts(environment: Environment): Contexts {
  const path = `${directoryOf(environment)}/contexts.json`;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return { current: defaultContextName, contexts: {} };
  }
  try {
    const { current, contexts } = JSON.parse(text) as Contexts;
    if (typeof current !== 'string' || typeof contexts !== 'object') throw new TypeError('wrong shape');
    return { current, contexts };
  } catch {
    throw new UsageFailure(`${path} does not hold contexts: mend it, or remove it`);
  }
}

/** Tokens are in it: for nobody but its owner. */
export function writeContexts(environment: Environment, contexts: Contexts): void {
  const directory = directoryOf(environment);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = `${directory}/contexts.json`;
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}
