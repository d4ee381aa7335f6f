import { parseEnvFile } from './env-file.js';
import type { StackContext } from './context.js';
import type { Field } from './field.js';
import { resolvePath } from './mounts.js';

/** `env_file` and over it `environment`, as sorted NAME=VALUE lines: the order in the files changes nothing. */
export function readEnvironment(service: Field, context: StackContext): string[] {
  const values = new Map<string, string>();
  for (const item of service.get('env_file')?.oneOrMany('a path or a list of paths') ?? [])
    readEnvFile(item, context, values);
  const environment = service.get('environment');
  for (const [name, { value, field }] of environment?.pairs() ?? []) {
    if (/[\s=]/.test(name))
      field.refuseKey(`has ${JSON.stringify(name)}, which is not the name of a variable`);
    setOrTake(values, name, value, context);
  }
  return [...values].map(([name, value]) => `${name}=${value}`).sort();
}

/** A name alone takes its value from here; one that is not set here is not set there either, as docker has it. */
function setOrTake(
  values: Map<string, string>,
  name: string,
  value: string | undefined,
  { lookup }: StackContext,
): void {
  const taken = value ?? lookup(name);
  if (taken === undefined) values.delete(name);
  else values.set(name, taken);
}

function readEnvFile(item: Field, context: StackContext, values: Map<string, string>): void {
  const pathField = item.isMapping ? item.get('path') : item;
  if (pathField === undefined) return item.refuse('has no path');
  const path = pathField.filled();
  const required = item.get('required')?.boolean() !== false;
  const raw = item.get('format')?.oneOf(['raw']) === 'raw';
  if (path === undefined) return;
  const resolved = resolvePath(path, context);
  if (resolved === undefined) return pathField.refuse('begins with ~, but HOME is not set');
  const text = context.readFile(resolved);
  if (text === undefined) {
    if (required) pathField.refuse(`is ${resolved}, which cannot be read`);
    return;
  }
  const parsed = parseEnvFile(text, context.lookup, raw);
  if (!parsed.ok) {
    context.findings.problem({ file: resolved, line: parsed.line, column: 1 }, '', parsed.message);
    return;
  }
  for (const { line, name } of parsed.unset)
    context.findings.warn(
      { file: resolved, line, column: 1 },
      '',
      `variable ${name} is not set: an empty text stands for it`,
    );
  for (const [name, value] of parsed.values) setOrTake(values, name, value, context);
}
