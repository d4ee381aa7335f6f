import { join } from 'node:path';
import { isAbsence, readKernelFileIfPresent, writeKernelFile } from './cgroup-files.js';
import { placeFor, type Place } from './hierarchies.js';
import { tryUntil, type Deadline } from './waiting.js';

/** The switch that makes a container stand still. */
export interface Freezer {
  /** Asks; the kernel gets there in its own time. */
  request(frozen: boolean): void;
  /** Whether the kernel has got there. */
  isFrozen(): boolean;
}

/**
 * v2's freezer where there is one: it needs no controller, works in a hybrid machine's unified hierarchy too, and its
 * frozen processes can still be killed. Else v1's. Undefined when this machine has neither.
 */
export function freezerOf(places: readonly Place[]): Freezer | undefined {
  const unified = places.find(({ hierarchy }) => hierarchy.kind === 'v2');
  if (unified !== undefined) return freezerV2(unified.directory);
  const home = placeFor(places, 'freezer');
  return home === undefined ? undefined : freezerV1(home.directory);
}

function freezerV2(directory: string): Freezer {
  return {
    request: (frozen) => writeIfPresent(join(directory, 'cgroup.freeze'), frozen ? '1' : '0'),
    // cgroup.freeze tells what was asked, cgroup.events what is.
    isFrozen: () => /^frozen 1$/m.test(readKernelFileIfPresent(join(directory, 'cgroup.events')) ?? ''),
  };
}

function freezerV1(directory: string): Freezer {
  const file = join(directory, 'freezer.state');
  const state = (): string => readKernelFileIfPresent(file)?.trim() ?? '';
  return {
    request: (frozen) => writeIfPresent(file, frozen ? 'FROZEN' : 'THAWED'),
    isFrozen: () => {
      const now = state();
      // A process that forked while it was being frozen leaves the state at FREEZING until FROZEN is written again.
      if (now === 'FREEZING') writeIfPresent(file, 'FROZEN');
      return now === 'FROZEN';
    },
  };
}

/** Freezes or thaws and waits for it; false when the deadline passed first. */
export async function setFrozen(freezer: Freezer, frozen: boolean, deadline: Deadline): Promise<boolean> {
  freezer.request(frozen);
  const reached = await tryUntil(deadline, () => freezer.isFrozen() === frozen);
  // Half frozen is a state nobody asked for.
  if (!reached && frozen) freezer.request(false);
  return reached;
}

function writeIfPresent(path: string, value: string): void {
  try {
    writeKernelFile(path, value);
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
}
