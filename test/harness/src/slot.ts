import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = '/run/gantry-test-slots';
const slotCount = 40;

/** A number that no other test on this machine has now: names, subnets and id ranges are made from it. */
export interface Slot {
  readonly number: number;
  release(): void;
}

export function takeSlot(): Slot {
  mkdirSync(directory, { recursive: true });
  for (let number = 0; number < slotCount; number += 1) {
    const path = join(directory, String(number));
    if (isFree(path) && claim(path)) {
      return { number, release: () => rmSync(path, { recursive: true, force: true }) };
    }
  }
  throw new Error(`all ${slotCount} test slots are taken: see ${directory}`);
}

/** mkdir(2) has one winner. */
function claim(path: string): boolean {
  try {
    mkdirSync(path);
  } catch {
    return false;
  }
  writeFileSync(join(path, 'pid'), String(process.pid));
  return true;
}

/** A slot whose test was killed is free again. */
function isFree(path: string): boolean {
  let pid: string;
  try {
    pid = readFileSync(join(path, 'pid'), 'utf8');
  } catch {
    return true;
  }
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch {
    rmSync(path, { recursive: true, force: true });
    return true;
  }
}
