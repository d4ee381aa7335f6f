import { posix } from 'node:path';
import type { Init, control } from '@gantry/protocol';
import { checkKeys, suggest } from './check-keys.js';
import { readContainer } from './container.js';
import { present, type StackContext } from './context.js';
import { readDeploy } from './deploy.js';
import { parseEnvFile } from './env-file.js';
import { Field } from './field.js';
import { interpolateTree, type Lookup } from './interpolate.js';
import { mergeFiles } from './merge.js';
import { readNetworks } from './networks.js';
import { Findings, type Place, type Problem } from './problems.js';
import type { Mapping } from './tree.js';
import { readVolumes } from './volumes.js';
import { readYaml } from './yaml-source.js';

export interface SourceFile {
  /** As the user named it: problems name it so. Relative paths are meant from the process' directory. */
  readonly path: string;
  readonly text: string;
}

export interface StackSources {
  /** Later ones stand above earlier ones. */
  readonly files: readonly SourceFile[];
  /** The shell's variables; those of a `.env` beside the first file are below them. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Empty: the `name` of the files. */
  readonly projectName: string;
  /** Text of a file by its absolute path; undefined when there is none or it cannot be read. */
  readonly readFile: (path: string) => string | undefined;
}

export interface Stack {
  readonly name: string;
  /** Sorted by name. */
  readonly services: readonly Init<control.ServiceSpec>[];
  /** Names of all images, each once, sorted. */
  readonly images: readonly string[];
}

export type StackReading =
  | { readonly ok: true; readonly stack: Stack; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };

const stackName = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const serviceName = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/;

/** Reads Compose files into the services of a stack. What is wrong with them is in the answer: nothing is thrown. */
export function readStack({ files, environment, projectName, readFile }: StackSources): StackReading {
  const findings = new Findings(files.map(({ path }) => path));
  const directory = posix.dirname(posix.resolve(files[0]?.path ?? 'compose.yaml'));
  const lookup = variables(directory, environment, projectName, readFile, findings);
  const sources: Mapping[] = [];
  for (const { path, text } of files) {
    const tree = readYaml(path, text, findings);
    if (tree === undefined) continue;
    checkKeys(tree, findings);
    sources.push(interpolateTree(tree, lookup, findings));
  }
  const merged = sources.length === files.length ? mergeFiles(sources) : undefined;
  const stack =
    merged === undefined
      ? undefined
      : readMerged(merged, { directory, lookup, projectName, readFile, findings });
  const { warnings } = findings;
  if (stack !== undefined && !findings.failed) return { ok: true, stack, warnings };
  if (!findings.failed)
    findings.problem({ file: 'compose.yaml', line: 1, column: 1 }, '', 'no file is given');
  return { ok: false, problems: findings.problems, warnings };
}

function variables(
  directory: string,
  environment: StackSources['environment'],
  projectName: string,
  readFile: StackSources['readFile'],
  findings: Findings,
): Lookup {
  const file = posix.join(directory, '.env');
  const own: Lookup = (name) =>
    Object.hasOwn(environment, name)
      ? environment[name]
      : name === 'COMPOSE_PROJECT_NAME' && projectName !== ''
        ? projectName
        : undefined;
  const text = readFile(file);
  if (text === undefined) return own;
  const parsed = parseEnvFile(text, own);
  if (!parsed.ok) {
    findings.problem({ file, line: parsed.line, column: 1 }, '', parsed.message);
    return own;
  }
  for (const { line, name } of parsed.unset)
    findings.warn({ file, line, column: 1 }, '', `variable ${name} is not set: an empty text stands for it`);
  return (name) => own(name) ?? parsed.values.get(name);
}

type Surroundings = Pick<StackContext, 'directory' | 'lookup' | 'readFile' | 'findings'> & {
  readonly projectName: string;
};

function readMerged(merged: Mapping, { projectName, ...surroundings }: Surroundings): Stack | undefined {
  const { findings } = surroundings;
  const top = (name: string): Field | undefined => {
    const entry = merged.entries.get(name);
    return entry === undefined ? undefined : new Field(entry.value, name, entry.place, findings);
  };
  top('version')?.warnOnce('is obsolete: the newest Compose Specification is meant');
  const name = readName(top('name'), projectName, merged.place, findings);
  const services = top('services');
  if (services === undefined) return findings.problem(merged.place, '', 'the file has no services');
  const entries = services.entries();
  if (services.isMapping && entries.length === 0) return services.refuse('names no service');
  const context: StackContext = {
    ...surroundings,
    name,
    volumes: readVolumes(top('volumes'), name),
    networks: readNetworks(top('networks')),
    services: new Set(entries.map(([service]) => service)),
  };
  const specs = entries.flatMap(([service, field]) => {
    if (!serviceName.test(service))
      field.refuseKey('is no name that DNS can have: letters, digits, - and _, at most 63');
    // A service without a value has been named already.
    if (field.isNull) return [];
    if (!field.isMapping) return field.refuse('is not a map of keys (such as image:)') ?? [];
    return [readService(service, field, context)];
  });
  const sorted = specs.sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
  const images = [...new Set(sorted.flatMap(({ container }) => container?.image ?? []))].sort();
  return { name, services: sorted, images };
}

function readName(field: Field | undefined, projectName: string, place: Place, findings: Findings): string {
  const own = field?.string();
  const name = projectName === '' ? (own ?? '') : projectName;
  if (stackName.test(name)) return name;
  const message = `${JSON.stringify(name)}, no name for a stack: lower-case letters, digits, - and _, at most 63, first a letter or digit`;
  if (projectName === '' && field !== undefined) field.refuse(`is ${message}`);
  else if (projectName === '')
    findings.problem(place, '', 'neither the command nor the file names the stack');
  else findings.problem(place, '', `the stack's name is ${message}`);
  return name;
}

function readService(name: string, field: Field, context: StackContext): Init<control.ServiceSpec> {
  const deploy = readDeploy(field);
  checkDependencies(name, field.get('depends_on'), context);
  const pullPolicy = field.get('pull_policy')?.oneOf(['always', 'missing', 'if_not_present', 'never']);
  const { mode, replicas, reservation, placement, update, labels } = deploy;
  return {
    ...present({
      name,
      mode,
      replicas,
      placement,
      labels,
      pullPolicy: pullPolicy === 'if_not_present' ? 'missing' : pullPolicy,
    }),
    container: readContainer(field, context, deploy),
    reservation,
    update,
  };
}

function checkDependencies(service: string, field: Field | undefined, { services }: StackContext): void {
  if (field === undefined) return;
  const check = (name: string, refuse: (message: string) => void): void => {
    if (name === service) refuse('names its own service');
    else if (!services.has(name))
      refuse(`names service ${JSON.stringify(name)}, which is not in the file${suggest(name, services)}`);
  };
  if (field.isSequence)
    for (const item of field.items()) {
      const name = item.string();
      if (name !== undefined) check(name, (message) => item.refuse(message));
    }
  else
    for (const [name, dependency] of field.entries('a list or a map')) {
      check(name, (message) => dependency.refuseKey(message));
      if (dependency.isNull) continue;
      dependency.entries();
      dependency.get('required')?.boolean();
      dependency.get('condition')?.parse((text) =>
        text === 'service_started'
          ? { ok: true, value: text }
          : {
              ok: false,
              why: `is not done by gantry stack deploy: ${JSON.stringify(text)} orders services, and a stack starts all at once; service_started is accepted`,
            },
      );
    }
  field.warnOnce(
    'orders nothing in a stack: services start at once and should try again until the others are there',
  );
}
