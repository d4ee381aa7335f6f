import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoName, readKernelFile, reasonOf, writeKernelFile } from './cgroup-files.js';
import type { LimitWrite } from './limit-write.js';
import type { PlacedWrite } from './resource-plan.js';
import { orderMemoryWrites } from './resource-writes-v1.js';

/** Where a file that a write goes to is for one container. */
type PathOf = (write: PlacedWrite) => string;

/** A limit that the kernel refused; the message is one sentence. */
export class LimitRefusal extends Error {
  /** `conflict`: not now or not on this machine; `value`: never; `failure`: something else went wrong. */
  readonly kind: 'conflict' | 'value' | 'failure';

  constructor(kind: LimitRefusal['kind'], message: string, cause: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** One access to a file; the driver makes it and gives the text back, or throws. */
type Access = { readonly read: string } | { readonly write: string; readonly value: string };
type Accesses = Generator<Access, void, string>;

interface Done {
  readonly path: string;
  readonly before: string;
}

/** Writes the limits of a cgroup that was just made; the caller removes the cgroup when this throws. */
export function writeFreshLimits(whose: string, writes: readonly PlacedWrite[], pathOf: PathOf): void {
  runNow(
    limitAccesses(
      whose,
      writes.filter((write) => !write.isDefault),
      pathOf,
    ),
  );
}

/**
 * Changes the limits of a living cgroup: all, or none. Lowering memory makes the kernel reclaim inside the write, which
 * may take long: therefore on the thread pool.
 */
export async function changeLimits(
  whose: string,
  writes: readonly PlacedWrite[],
  pathOf: PathOf,
): Promise<void> {
  const accesses = limitAccesses(whose, writes, pathOf);
  let next = accesses.next();
  while (next.done !== true) {
    try {
      const { value } = next;
      if ('read' in value) next = accesses.next(await readFile(value.read, 'latin1'));
      else next = accesses.next((await writeFile(value.write, value.value, { flag: 'r+' }), ''));
    } catch (error) {
      if (error instanceof LimitRefusal) throw error;
      next = accesses.throw(error);
    }
  }
}

/** As {@link changeLimits}, for a program that has nothing else to do meanwhile. */
export function changeLimitsNow(whose: string, writes: readonly PlacedWrite[], pathOf: PathOf): void {
  runNow(limitAccesses(whose, writes, pathOf));
}

function runNow(accesses: Accesses): void {
  let next = accesses.next();
  while (next.done !== true) {
    const { value } = next;
    let text = '';
    try {
      if ('read' in value) text = readKernelFile(value.read);
      else writeKernelFile(value.write, value.value);
    } catch (error) {
      next = accesses.throw(error);
      continue;
    }
    next = accesses.next(text);
  }
}

/** The accesses that change limits, and go back when one is refused. */
function* limitAccesses(whose: string, writes: readonly PlacedWrite[], pathOf: PathOf): Accesses {
  const done: Done[] = [];
  try {
    const postponed: PlacedWrite[] = [];
    for (const write of orderMemoryWrites(writes, yield* currentSwapLimit(writes, pathOf)))
      if (!(yield* changeOne(whose, write, pathOf, done, isBandwidth(write)))) postponed.push(write);
    for (const write of postponed) yield* changeOne(whose, write, pathOf, done, false);
  } catch (error) {
    const failures: unknown[] = [];
    // Backwards: each step returns to a state that the kernel has already allowed.
    for (const { path, before } of done.reverse()) {
      try {
        yield { write: path, value: before };
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length === 0) throw error;
    const message = `${reasonOf(error)}; and going back failed: ${failures.map(reasonOf).join('; ')}`;
    throw new LimitRefusal('failure', message, error);
  }
}

/** @returns false when the kernel does not take the value yet */
function* changeOne(
  whose: string,
  write: PlacedWrite,
  pathOf: PathOf,
  done: Done[],
  mayWait: boolean,
): Generator<Access, boolean, string> {
  const found = yield* currentText(whose, write, pathOf);
  if (found === undefined) return true;
  const value = found.write.complete?.(found.text) ?? found.write.value;
  const before = found.write.replaced?.(found.text) ?? found.text.trim();
  if (before === value) return true;
  try {
    // An empty value is a list taken away; a write of no bytes would be no write.
    yield { write: found.path, value: asWritten(value) };
  } catch (error) {
    if (mayWait && errnoName(error) === 'EINVAL') return false;
    if (write.isOptional === true && errnoName(error) === 'ENOTSUP') return true;
    throw refusal(whose, { ...found.write, value }, error);
  }
  done.push({ path: found.path, before: asWritten(before) });
  return true;
}

function asWritten(value: string): string {
  return value === '' ? '\n' : value;
}

/** Period, quota and burst hold each other within bounds: a refused one may pass after the others have changed. */
function isBandwidth({ file }: LimitWrite): boolean {
  return file.startsWith('cpu.cfs_') || file.startsWith('cpu.max');
}

function* currentSwapLimit(
  writes: readonly PlacedWrite[],
  pathOf: PathOf,
): Generator<Access, number, string> {
  const swap = writes.find((write) => write.file === 'memory.memsw.limit_in_bytes');
  if (swap === undefined) return Number.POSITIVE_INFINITY;
  try {
    return Number(yield { read: pathOf(swap) });
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

interface Found {
  readonly path: string;
  readonly text: string;
  readonly write: PlacedWrite;
}

/** The file's text; undefined when there is no file and none is needed. */
function* currentText(
  whose: string,
  write: PlacedWrite,
  pathOf: PathOf,
): Generator<Access, Found | undefined, string> {
  const path = pathOf(write);
  try {
    return { path, text: yield { read: path }, write };
  } catch (error) {
    if (errnoName(error) === 'ENOENT' && write.instead !== undefined) {
      const { instead, ...rest } = write;
      return yield* currentText(whose, { ...rest, ...instead }, pathOf);
    }
    if (errnoName(error) === 'ENOENT' && (write.isDefault || write.isOptional === true)) return undefined;
    // Some files can only be written.
    if (errnoName(error) === 'EINVAL' || errnoName(error) === 'EACCES') return { path, text: '', write };
    throw refusal(whose, write, error);
  }
}

function refusal(whose: string, write: PlacedWrite, error: unknown): LimitRefusal {
  const wish = `${write.field} of ${whose} cannot be set to ${write.value}`;
  switch (errnoName(error)) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENOTSUP':
      return new LimitRefusal(
        'conflict',
        `${wish}: this kernel offers no ${write.file}${deviceHint(write, error)}`,
        error,
      );
    case 'EBUSY':
      return new LimitRefusal(
        'conflict',
        `${wish}: ${write.controller === 'memory' ? 'it uses more than that' : reasonOf(error)}`,
        error,
      );
    case 'EINVAL':
    case 'ERANGE':
      return new LimitRefusal(
        'value',
        `${wish}: the kernel does not take this value for ${write.file}`,
        error,
      );
    default:
      return new LimitRefusal('failure', `${wish}: ${reasonOf(error)}`, error);
  }
}

/** ENODEV is about the block device where a value names one. */
function deviceHint(write: PlacedWrite, error: unknown): string {
  return errnoName(error) === 'ENODEV' && write.value.includes(':') ? ', or there is no such device' : '';
}

/** Path of a write below the container's directory in the write's own hierarchy. */
export function pathsBelow(directoryOf: (write: PlacedWrite) => string): PathOf {
  return (write) => join(directoryOf(write), write.file);
}
