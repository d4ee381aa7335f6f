import { join } from 'node:path';
import { readKernelFile, reasonOf, writeKernelFile } from './cgroup-files.js';
import { deviceListOf, deviceWrites } from './device-list.js';
import type { DeviceRule } from './device-rules.js';
import { placeFor, type Place } from './hierarchies.js';
import { nativeCgroup } from './native.js';

const typeCodes = { a: 0, b: 1, c: 2 } as const;
const accessCodes: readonly (readonly [string, number])[] = [
  ['m', 1],
  ['r', 2],
  ['w', 4],
];

/**
 * Puts device rules in force: by v1's files where that hierarchy is, else by a program of the kernel's on the v2 cgroup,
 * which replaces one of an earlier call in one step.
 *
 * @returns false when this machine has neither; throws one sentence when the kernel refuses
 */
export function restrictDevices(places: readonly Place[], rules: readonly DeviceRule[]): boolean {
  const v1 = placeFor(places, 'devices');
  if (v1 !== undefined) {
    restrictV1(v1.directory, rules);
    return true;
  }
  const unified = places.find(({ hierarchy }) => hierarchy.kind === 'v2');
  if (unified === undefined) return false;
  restrictV2(unified.directory, rules);
  return true;
}

function restrictV1(directory: string, rules: readonly DeviceRule[]): void {
  const list = deviceListOf(rules);
  if ('problem' in list) throw new Error(list.problem);
  for (const { file, value } of deviceWrites(list, readKernelFile(join(directory, 'devices.list')))) {
    try {
      writeKernelFile(join(directory, file), value);
    } catch (error) {
      const verb = file === 'devices.allow' ? 'allow' : 'deny';
      throw new Error(`device rule "${verb} ${value}" is refused by the kernel: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}

function restrictV2(directory: string, rules: readonly DeviceRule[]): void {
  // What comes before a rule for everything is never asked.
  const last = rules.findLastIndex(({ type }) => type === 'a');
  const asked = rules.slice(Math.max(0, last));
  const flat = asked.flatMap(({ allow, type, major, minor, access }) => [
    allow ? 1 : 0,
    typeCodes[type],
    major ?? -1,
    minor ?? -1,
    accessCodes.reduce((bits, [letter, bit]) => (access.includes(letter) ? bits | bit : bits), 0),
  ]);
  nativeCgroup().restrictDevices(directory, Int32Array.from(flat));
}
