import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  parseLossless,
  type RuntimeHook,
  type RuntimeHooks,
  type RuntimeProcess,
  type RuntimeSpec,
  type RuntimeUser,
} from '@gantry/oci';
import { checkHooks, checkSpecShape } from '@gantry/spawner/runtime';
import { errorCode, failure, messageOf } from './failure.js';

/** A bundle's configuration, checked as far as it can be without trying. */
export interface Bundle {
  /** Absolute. */
  readonly path: string;
  /** config.json as it was read. */
  readonly text: string;
  readonly spec: RuntimeSpec;
  /** Absolute. */
  readonly rootfs: string;
}

/** `config` is a name in the bundle, or an absolute path. */
export function readBundle(directory: string | undefined, config: string | undefined): Bundle {
  const path = resolve(directory ?? '.');
  const file = resolve(path, config ?? 'config.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return errorCode(error) === 'ENOENT'
      ? failure(`cannot read configuration ${file}: no such file or directory`)
      : failure(`cannot read configuration ${file}: ${messageOf(error)}`);
  }
  const spec = parseSpec(text, file);
  return {
    path,
    text,
    spec,
    rootfs: resolve(path, spec.root?.path ?? failure(`${file}: root.path is missing`)),
  };
}

/** Pure but for what it throws. */
export function parseSpec(text: string, file: string): RuntimeSpec {
  let spec: unknown;
  try {
    spec = parseLossless(text);
  } catch (error) {
    failure(`${file} is not JSON: ${messageOf(error)}`);
  }
  if (typeof spec !== 'object' || spec === null || Array.isArray(spec))
    failure(`${file} is not a JSON object`);
  checkVersion((spec as Partial<RuntimeSpec>).ociVersion, file);
  checkSpecShape(spec);
  const checked = spec as RuntimeSpec;
  checkHooks(checked.hooks);
  if (checked.linux === undefined && 'windows' in spec) failure(`${file} is for another system`);
  return withHookEnvironments(
    checked.process === undefined ? checked : { ...checked, process: withUser(checked.process) },
    process.env,
  );
}

/** Ids that are not said are 0, as in every runtime that reads them into numbers. Pure. */
export function withUser(own: RuntimeProcess): RuntimeProcess {
  const user: Partial<RuntimeUser> | undefined = own.user;
  return { ...own, user: { ...user, uid: user?.uid ?? 0, gid: user?.gid ?? 0 } };
}

/** Semantic versioning: any 1.x is read, with what it has that 1.3 knows. */
function checkVersion(version: unknown, file: string): void {
  if (typeof version !== 'string' || version === '') failure(`${file}: ociVersion is missing`);
  const major = /^(\d+)\.\d+\.\d+(?:[-+][\w.+-]+)?$/.exec(version)?.[1];
  if (major === undefined) failure(`${file}: ociVersion ${JSON.stringify(version)} is not a version`);
  if (major !== '1') failure(`${file}: ociVersion ${version} is not supported: 1.x is`);
}

/**
 * A hook without an environment of its own has ours, as in every other runtime: lookups of its helpers need PATH. One that runs
 * inside the container has that of the container's process, which init knows. Pure.
 */
export function withHookEnvironments(spec: RuntimeSpec, environment: NodeJS.ProcessEnv): RuntimeSpec {
  if (spec.hooks === undefined) return spec;
  const inherited = Object.entries(environment).map(([name, value = '']) => `${name}=${value}`);
  const hooks = Object.entries(spec.hooks as Readonly<Record<string, readonly RuntimeHook[]>>).map(
    ([kind, list]) => [
      kind,
      kind === 'startContainer' ? list : list.map((hook) => ({ ...hook, env: hook.env ?? inherited })),
    ],
  );
  return { ...spec, hooks: Object.fromEntries(hooks) as RuntimeHooks };
}
