import { readFileSync } from 'node:fs';
import { describeProblem, readStack, type SourceFile, type Stack } from '@gantry/compose';
import type { control } from '@gantry/protocol';
import { stackPath, type Client } from '../client/client.js';
import type { Context } from '../context.js';
import { ExitWith, isApiFailure, UsageFailure } from '../failures.js';
import { readTextFile } from '../flags/pairs.js';
import { complain, print } from '../output/print.js';
import { followRollout } from './rollout.js';

export interface DeployFlags {
  composeFile?: string[];
  prune?: boolean;
  withRegistryAuth?: boolean;
  detach: boolean;
}

/** What the bus takes in one message; what is larger would be refused there, with less to go by. */
const largestRequestBytes = 512 * 1024;

/** Reads the files, says all that is wrong with them, and brings the stack to what they say. */
export async function deployStack(context: Context, name: string, flags: DeployFlags): Promise<void> {
  const { client, environment } = context;
  const paths = flags.composeFile ?? [];
  if (paths.length === 0)
    throw new UsageFailure('give a compose file with -c FILE (or -c - for standard input)');
  const stack = read(await sourcesOf(paths), name, environment);
  const credentials =
    flags.withRegistryAuth === true
      ? await (await import('../flags/registry-credentials.js')).credentialsFor(stack.images, environment)
      : [];
  const request = {
    services: stack.services,
    prune: flags.prune === true,
    credentials,
    expectedVersion: await versionOf(client, stack.name),
  };
  if (Buffer.byteLength(JSON.stringify(request)) > largestRequestBytes)
    throw new UsageFailure(`stack ${stack.name} is too large: more than 512 KiB in all`);
  report(stack.name, await send(client, stack.name, request));
  if (!flags.detach)
    await followRollout(client, 'stack', stackPath(stack.name, '/rollout'), {
      name: stack.name,
      seeAlso: `gantry stack ps ${stack.name}`,
    });
}

async function sourcesOf(paths: readonly string[]): Promise<SourceFile[]> {
  if (paths.filter((path) => path === '-').length > 1)
    throw new UsageFailure('-c -: standard input can be read once only');
  const sources: SourceFile[] = [];
  for (const path of paths)
    sources.push({ path, text: path === '-' ? await standardInput() : readTextFile(path, '--compose-file') });
  return sources;
}

async function standardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function read(files: readonly SourceFile[], projectName: string, environment: Context['environment']): Stack {
  const reading = readStack({ files, environment, projectName, readFile: textOf });
  for (const warning of reading.warnings) complain(`warning: ${describeProblem(warning)}`);
  if (reading.ok) return reading.stack;
  for (const problem of reading.problems) complain(describeProblem(problem));
  throw new ExitWith(1);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The version that this deploy is made on: another deploy meanwhile is a conflict, not a surprise. */
async function versionOf(client: Client, name: string): Promise<number> {
  const { stacks } = await client.get<control.ListStacksResponse>('/v1/stacks');
  return stacks.find((one) => one.name === name)?.version ?? 0;
}

async function send(client: Client, name: string, request: unknown): Promise<control.DeployStackResponse> {
  try {
    return await client.request('PUT', stackPath(name), { json: request });
  } catch (error) {
    // The answer may have been lost on its way, not the question: what stands is said, nothing is asked twice.
    if (isApiFailure(error, 'unavailable') || isApiFailure(error, 'deadline_exceeded'))
      complain(
        `gantry stack: whether ${name} was deployed is not known: see \`gantry stack services ${name}\``,
      );
    throw error;
  }
}

function report(stack: string, answer: control.DeployStackResponse): void {
  const say = (what: string, services: readonly string[]): void => {
    for (const service of services) print(`${what} service ${stack}_${service}`);
  };
  say('Created', answer.created);
  say('Updated', answer.updated);
  say('Unchanged', answer.unchanged);
  say('Removed', answer.removed);
}
