import type { Lookup } from './interpolate.js';
import type { Findings } from './problems.js';

/** What the services of a stack are read against. */
export interface StackContext {
  readonly name: string;
  /** Of the first file: relative paths begin here. Absolute. */
  readonly directory: string;
  /** Variables of the shell and of .env. */
  readonly lookup: Lookup;
  readonly readFile: (path: string) => string | undefined;
  /** From the name in the file to the name on the nodes. */
  readonly volumes: ReadonlyMap<string, string>;
  readonly networks: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  readonly findings: Findings;
}

/** The object without what was left open: undefined, empty lists and empty objects. */
export function present<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => !isEmpty(value))) as T;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
