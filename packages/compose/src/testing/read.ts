import assert from 'node:assert/strict';
import type { Init, control } from '@gantry/protocol';
import { describeProblem, readStack, type Problem, type Stack, type StackReading } from '../index.js';

export interface Beside {
  readonly environment?: Record<string, string>;
  /** Files that the stack's files refer to, by absolute path; the stack's own lie in /srv. */
  readonly files?: Record<string, string>;
  readonly projectName?: string;
}

/** Reads files that lie in /srv and are named as docker names them. */
export function readMany(texts: readonly string[], beside: Beside = {}): StackReading {
  const { environment = {}, files = {}, projectName = 'demo' } = beside;
  return readStack({
    files: texts.map((text, index) => ({
      path: index === 0 ? '/srv/compose.yaml' : `/srv/compose.${index}.yaml`,
      text,
    })),
    environment,
    projectName,
    readFile: (path) => files[path],
  });
}

const short = (problem: Problem): string => describeProblem(problem).replace(/^\/srv\//, '');

export const readOne = (text: string, beside?: Beside): StackReading => {
  const reading = readMany([text], beside);
  const rename = (problem: Problem): Problem => ({ ...problem, file: problem.file.replace('/srv/', '') });
  return reading.ok
    ? { ...reading, warnings: reading.warnings.map(rename) }
    : { ...reading, problems: reading.problems.map(rename), warnings: reading.warnings.map(rename) };
};

export function stackOf(
  text: string | readonly string[],
  beside?: Beside,
): { readonly stack: Stack; readonly warnings: readonly string[] } {
  const reading = readMany(typeof text === 'string' ? [text] : text, beside);
  if (!reading.ok) assert.fail(reading.problems.map(short).join('\n'));
  return { stack: reading.stack, warnings: reading.warnings.map(short) };
}

export function problemsOf(text: string | readonly string[], beside?: Beside): readonly string[] {
  const reading = readMany(typeof text === 'string' ? [text] : text, beside);
  if (reading.ok) assert.fail('it was read without a problem');
  return reading.problems.map(short);
}

/** The one service of a stack whose keys, indented by four, are given. */
export function serviceOf(
  keys: string,
  { rest = '', ...beside }: Beside & { readonly rest?: string } = {},
): Init<control.ServiceSpec> {
  const { stack } = stackOf(fileOf(keys, rest), beside);
  const [service] = stack.services;
  assert.ok(service);
  return service;
}

/** A file with a service `a` of image `x` and these keys; their first line is line 4, column 5. */
export const fileOf = (keys: string, rest = ''): string =>
  `services:\n  a:\n    image: x\n${keys.replace(/^/gm, '    ')}\n${rest}`;
