import { type Checked, invalid, valid } from './checked.js';
import type { ImageExecution, ImageHealthcheck } from './image-spec.js';
import { parseSignal } from './signals.js';

export const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Health check with every default filled in; all times in milliseconds. */
export interface ResolvedHealthCheck {
  /** `['CMD', ...]` or `['CMD-SHELL', text]`. */
  readonly test: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
  readonly retries: number;
}

/** 0 or empty means: the image's, then docker's default. */
export interface HealthCheckWish {
  readonly test: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
  readonly retries: number;
}

/** What the user asked for; empty takes the image's. */
export interface ExecutionWish {
  readonly entrypoint: readonly string[];
  /** True: `entrypoint` replaces the image's, even when empty. */
  readonly entrypointSet: boolean;
  readonly command: readonly string[];
  /** `NAME=value`; a bare `NAME` takes the variable away. */
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  readonly user: string;
  readonly stopSignal: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly healthCheck: HealthCheckWish | undefined;
}

/** What a container runs: the image's word where the user gave none. */
export interface Execution {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** Entrypoint and command together: never empty. */
  readonly args: readonly string[];
  /** The image's and the user's; without PATH's default, HOSTNAME, TERM and HOME (see {@link processEnvironment}). */
  readonly environment: readonly string[];
  /** Absolute. */
  readonly workingDirectory: string;
  readonly user: string;
  /** 1 to 64. */
  readonly stopSignal: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Paths at which the image wants a volume of its own, sorted. */
  readonly volumes: readonly string[];
  /** `80/tcp`, sorted. */
  readonly exposedPorts: readonly string[];
  readonly healthCheck: ResolvedHealthCheck | undefined;
}

/** Later entries replace earlier ones of the same name in place; a bare name removes. */
export function mergeEnvironment(...lists: readonly (readonly string[])[]): readonly string[] {
  const merged = new Map<string, string>();
  for (const entry of lists.flat()) {
    const equals = entry.indexOf('=');
    if (equals < 0) merged.delete(entry);
    else merged.set(entry.slice(0, equals), entry);
  }
  return [...merged.values()];
}

/** The environment of the first process: PATH, HOSTNAME, TERM and HOME come first so that image and user can replace them. */
export function processEnvironment(facts: {
  readonly environment: readonly string[];
  readonly hostname: string;
  readonly terminal: boolean;
  readonly home: string;
}): readonly string[] {
  return mergeEnvironment(
    [DEFAULT_PATH, `HOSTNAME=${facts.hostname}`],
    facts.terminal ? ['TERM=xterm'] : [],
    [`HOME=${facts.home}`],
    facts.environment,
  );
}

/** Joins and cleans like path.posix without importing it: `..` never climbs above `/`. */
export function resolveInside(base: string, path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith('/') ? path : `${base}/${path}`).split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

const NANOSECONDS_PER_MS = 1e6;

function mergeHealthCheck(
  image: ImageHealthcheck | null | undefined,
  wish: HealthCheckWish | undefined,
): Checked<ResolvedHealthCheck | undefined> {
  const test = wish !== undefined && wish.test.length > 0 ? wish.test : (image?.Test ?? []);
  const [kind] = test;
  if (kind === undefined || kind === 'NONE') return valid(undefined);
  if (kind !== 'CMD' && kind !== 'CMD-SHELL')
    return invalid(`health check ${JSON.stringify(kind)} is not NONE, CMD or CMD-SHELL`);
  if (test.length < 2) return invalid(`health check ${kind} has no command`);
  const pick = (asked: number | undefined, imageNs: number | undefined, fallbackMs: number): number =>
    asked !== undefined && asked > 0
      ? asked
      : imageNs !== undefined && imageNs > 0
        ? imageNs / NANOSECONDS_PER_MS
        : fallbackMs;
  return valid({
    test,
    intervalMs: pick(wish?.intervalMs, image?.Interval, 30_000),
    timeoutMs: pick(wish?.timeoutMs, image?.Timeout, 30_000),
    startPeriodMs: pick(wish?.startPeriodMs, image?.StartPeriod, 0),
    startIntervalMs: pick(wish?.startIntervalMs, image?.StartInterval, 5_000),
    retries: wish !== undefined && wish.retries > 0 ? wish.retries : (image?.Retries ?? 0) || 3,
  });
}

function firstBadEnvironment(environment: readonly string[]): string | undefined {
  return environment.find((entry) => entry === '' || entry.startsWith('=') || entry.includes('\0'));
}

/** Lays what the user asked for over the image's configuration, by docker's rules. */
export function mergeExecution(image: ImageExecution, wish: ExecutionWish): Checked<Execution> {
  const entrypoint = wish.entrypointSet ? wish.entrypoint : (image.Entrypoint ?? []);
  // A replaced entrypoint makes the image's command meaningless: it was written as the other one's arguments.
  const command = wish.command.length > 0 ? wish.command : wish.entrypointSet ? [] : (image.Cmd ?? []);
  const args = [...entrypoint, ...command];
  if (args.length === 0) return invalid('no command was given and the image has none');
  if (args.some((arg) => arg.includes('\0'))) return invalid('command holds a NUL character');
  if (args[0] === '') return invalid('command is empty');
  const bad = firstBadEnvironment(wish.environment);
  if (bad !== undefined) return invalid(`environment entry ${JSON.stringify(bad)} is not NAME=value`);
  if (wish.workingDirectory !== '' && !wish.workingDirectory.startsWith('/'))
    return invalid(`working directory ${JSON.stringify(wish.workingDirectory)} is not absolute`);
  const signalText = [wish.stopSignal, image.StopSignal ?? ''].find((text) => text !== '') ?? 'SIGTERM';
  const stopSignal = parseSignal(signalText);
  if (stopSignal === undefined) return invalid(`stop signal ${JSON.stringify(signalText)} is not a signal`);
  const healthCheck = mergeHealthCheck(image.Healthcheck, wish.healthCheck);
  if (!healthCheck.ok) return healthCheck;
  return valid({
    entrypoint,
    command,
    args,
    environment: mergeEnvironment(image.Env ?? [], wish.environment),
    workingDirectory: resolveInside('/', wish.workingDirectory || image.WorkingDir || '/'),
    user: wish.user || image.User || '',
    stopSignal,
    labels: { ...image.Labels, ...wish.labels },
    volumes: Object.keys(image.Volumes ?? {})
      .map((path) => resolveInside('/', path))
      .filter((path) => path !== '/')
      .sort(),
    exposedPorts: Object.keys(image.ExposedPorts ?? {}).sort(),
    healthCheck: healthCheck.value,
  });
}
