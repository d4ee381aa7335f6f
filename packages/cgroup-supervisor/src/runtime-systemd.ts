import type * as childProcess from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RuntimeResources } from '@gantry/oci';
import { isDirectory } from './directories.js';
import type { RuntimeCgroup } from './runtime-cgroup.js';
import {
  annotationProperties,
  limitProperties,
  parseUnitPath,
  unitProperties,
  type Property,
} from './systemd-properties.js';
import { deadlineIn, tryUntil } from './waiting.js';

/** Loaded where there is a systemd to talk to: most programs that make a cgroup have no need of it. */
const processes = (): typeof childProcess => process.getBuiltinModule('node:child_process');

/** A unit that systemd made, and where its cgroup is. */
export interface Scope {
  readonly unit: string;
  readonly isUser: boolean;
  /** From the mount point of each hierarchy. */
  readonly path: string;
}

const manager = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];
const answerMs = 10_000;

/** Holds a scope open until the container's own processes are in it; ends with us at the latest, by its standard input. */
const holders = new Map<string, childProcess.ChildProcess>();

/**
 * Has systemd make a transient scope that is ours to divide (Delegate=yes). A scope needs a process from the start: a
 * waiting one stands in until {@link scopeJoined}.
 */
export async function startScope(input: {
  readonly id: string;
  readonly cgroupsPath: string | undefined;
  readonly resources: RuntimeResources | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly rootless: boolean;
}): Promise<Scope> {
  if (!isDirectory('/run/systemd/system'))
    throw new Error('systemd not running on this host, cannot use systemd cgroups manager');
  const isUser = input.rootless;
  const { slice, unit } = parseUnitPath(input.cgroupsPath ?? '', input.id, isUser);
  const holder = processes().spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(holder, 'spawn');
  const pid = holder.pid ?? 0;
  try {
    const properties = [
      ...unitProperties(unit, slice, pid, input.id),
      ...limitProperties(input.resources ?? {}, isUnifiedAlone()),
      ...annotationProperties(input.annotations),
    ];
    call(isUser, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', [unit, 'replace', ...flatten(properties), '0']);
    // The answer is a job; done is when the process has been moved.
    const ownPath = (): string | undefined => cgroupPathOf(pid, unit);
    if (!(await tryUntil(deadlineIn(answerMs), () => ownPath() !== undefined)))
      throw new Error(`systemd did not make ${unit} within ${answerMs / 1000} s`);
    holders.set(unit, holder);
    return { unit, isUser, path: ownPath() ?? '/' };
  } catch (error) {
    holder.kill('SIGKILL');
    throw error;
  }
}

/** The container's first process is in: the one that stood in for it goes. To be called once it runs. */
export async function scopeJoined(cgroup: RuntimeCgroup): Promise<void> {
  const holder = cgroup.scope === undefined ? undefined : holders.get(cgroup.scope);
  if (cgroup.scope === undefined || holder === undefined) return;
  holders.delete(cgroup.scope);
  if (holder.exitCode !== null || holder.signalCode !== null) return;
  const ended = once(holder, 'exit');
  holder.stdin?.end();
  await ended;
}

/** Tells systemd the limits too, so that it does not put back its own when it reloads. */
export function updateScope(cgroup: RuntimeCgroup, resources: RuntimeResources): void {
  const properties = limitProperties(resources, isUnifiedAlone());
  if (cgroup.scope === undefined || properties.length === 0) return;
  call(cgroup.isUserScope === true, 'SetUnitProperties', 'sba(sv)', [
    cgroup.scope,
    'true',
    ...flatten(properties),
  ]);
}

/** Stops the unit and forgets its failure; one that is gone already is no error. */
export async function stopScope(unit: string, isUser: boolean): Promise<void> {
  holders.get(unit)?.kill('SIGKILL');
  holders.delete(unit);
  for (const [method, signature, values] of [
    ['StopUnit', 'ss', [unit, 'replace']],
    ['ResetFailedUnit', 's', [unit]],
  ] as const) {
    try {
      call(isUser, method, signature, values);
    } catch (error) {
      if (!(error instanceof Error) || !/not loaded|NoSuchUnit/.test(error.message)) throw error;
    }
  }
  await tryUntil(deadlineIn(answerMs), () => !isLoaded(unit, isUser));
}

/** What this package can do at all, as `features` of the runtime-spec asks; what a machine has is another matter. */
export function cgroupFeatures(): {
  readonly v1: boolean;
  readonly v2: boolean;
  readonly systemd: boolean;
  readonly systemdUser: boolean;
  readonly rdma: boolean;
} {
  return { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true };
}

function isLoaded(unit: string, isUser: boolean): boolean {
  return busctl(isUser, ['call', ...manager, 'GetUnit', 's', unit]).status === 0;
}

function call(isUser: boolean, method: string, signature: string, values: readonly string[]): void {
  const { status, stderr, error } = busctl(isUser, ['call', ...manager, method, signature, ...values]);
  if (error !== undefined) throw new Error(`busctl cannot be run: ${error.message}`, { cause: error });
  if (status !== 0) throw new Error(`systemd refused ${method} of ${values[0] ?? ''}: ${stderr.trim()}`);
}

function busctl(
  isUser: boolean,
  words: readonly string[],
): { readonly status: number | null; readonly stderr: string; readonly error?: Error | undefined } {
  const [verb = 'call', ...rest] = words;
  const options = [...(isUser ? ['--user'] : ['--system']), '--quiet', `--timeout=${answerMs / 1000}`];
  // A value such as -1 is no option.
  return processes().spawnSync('busctl', [...options, verb, '--', ...rest], {
    encoding: 'utf8',
    timeout: answerMs + 5000,
  });
}

function flatten(properties: readonly Property[]): readonly string[] {
  return [
    String(properties.length),
    ...properties.flatMap(({ name, signature, values }) => [name, signature, ...values]),
  ];
}

/** Below the hierarchy's mount point; undefined while the process is not in the unit yet. */
function cgroupPathOf(pid: number, unit: string): string | undefined {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const line = lines.find((one) => /^0::|:name=systemd:/.test(one) && one.endsWith(`/${unit}`));
  return line?.replace(/^\d+:[^:]*:/, '');
}

function isUnifiedAlone(): boolean {
  return !readFileSync('/proc/self/cgroup', 'utf8').includes(':name=systemd:');
}
