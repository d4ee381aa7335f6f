import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GantryError } from '@gantry/protocol';
import { errnoName, isAbsence, reasonOf, writeKernelFile } from './cgroup-files.js';
import { cgroupFailure, joinReasons } from './failure.js';
import { orderMemoryWrites } from './limit-writes-v1.js';
import type { PlacedWrite } from './plan-writes.js';

/** Where a write goes for one container. */
type PathOf = (write: PlacedWrite) => string;

/** Writes the limits of a cgroup that was just made; the caller removes the cgroup when this throws. */
export function writeFreshLimits(containerId: string, writes: readonly PlacedWrite[], pathOf: PathOf): void {
  for (const write of writes) {
    if (write.isDefault) continue;
    try {
      writeKernelFile(pathOf(write), write.value);
    } catch (error) {
      if (isAbsence(error) && write.isOptional === true) continue;
      throw refusal('CreateCgroup', containerId, write, error);
    }
  }
}

/**
 * Changes the limits of a living cgroup: all, or none. Lowering memory makes the kernel reclaim inside the write, which
 * may take long: therefore on the thread pool.
 */
export async function changeLimits(
  containerId: string,
  writes: readonly PlacedWrite[],
  pathOf: PathOf,
): Promise<void> {
  const undo: { readonly write: PlacedWrite; readonly before: string }[] = [];
  try {
    for (const write of orderMemoryWrites(writes, await currentSwapLimit(writes, pathOf))) {
      const before = await currentValue(containerId, write, pathOf(write));
      if (before === undefined || before === write.value) continue;
      try {
        await writeFile(pathOf(write), write.value, { flag: 'r+' });
      } catch (error) {
        throw refusal('UpdateCgroup', containerId, write, error);
      }
      undo.push({ write, before });
    }
  } catch (error) {
    const failures: unknown[] = [];
    // Backwards: each step returns to a state that the kernel has already allowed.
    for (const { write, before } of undo.reverse())
      await writeFile(pathOf(write), before, { flag: 'r+' }).catch((failure: unknown) =>
        failures.push(failure),
      );
    throw failures.length === 0 ? error : incompleteRollback(containerId, error, failures);
  }
}

async function currentSwapLimit(writes: readonly PlacedWrite[], pathOf: PathOf): Promise<number> {
  const swap = writes.find((write) => write.file === 'memory.memsw.limit_in_bytes');
  if (swap === undefined) return Number.POSITIVE_INFINITY;
  return readFile(pathOf(swap), 'utf8').then(Number, () => Number.POSITIVE_INFINITY);
}

/** The file's value in the form in which it is written; undefined when there is no file and none is needed. */
async function currentValue(
  containerId: string,
  write: PlacedWrite,
  path: string,
): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return write.file === 'memory.oom_control' ? (/oom_kill_disable (\d)/.exec(text)?.[1] ?? text) : text;
  } catch (error) {
    if (errnoName(error) === 'ENOENT' && (write.isDefault || write.isOptional === true)) return undefined;
    throw refusal('UpdateCgroup', containerId, write, error);
  }
}

function refusal(operation: string, containerId: string, write: PlacedWrite, error: unknown): GantryError {
  const wish = `${write.field} of container ${containerId} cannot be set to ${write.value}`;
  const failed = (why: string): GantryError =>
    cgroupFailure('failed_precondition', operation, containerId, `${wish}: ${why}`, error);
  switch (errnoName(error)) {
    case 'ENOENT':
    case 'ENODEV':
      return failed(`this kernel offers no ${write.file}`);
    case 'EBUSY':
      return failed(`${write.controller === 'memory' ? 'it uses more than that' : reasonOf(error)}`);
    case 'EINVAL':
    case 'ERANGE':
      return cgroupFailure(
        'invalid_argument',
        operation,
        containerId,
        `${wish}: the kernel does not take this value for ${write.file}`,
        error,
      );
    default:
      return cgroupFailure('internal', operation, containerId, `${wish}: ${reasonOf(error)}`, error);
  }
}

function incompleteRollback(containerId: string, error: unknown, failures: readonly unknown[]): GantryError {
  const message = `${reasonOf(error)}; and going back failed: ${joinReasons(failures)}`;
  return cgroupFailure('internal', 'UpdateCgroup', containerId, message, error);
}

/** Path of a write below the container's directory in the write's own hierarchy. */
export function pathsBelow(directoryOf: (write: PlacedWrite) => string): PathOf {
  return (write) => join(directoryOf(write), write.file);
}
