import type { RuntimeResources } from '@gantry/oci';
import type { Given } from './command-line.js';
import { failure } from './failure.js';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** `50M`, `1.5GiB`, `1024`, `-1`. Pure. */
export function readBytes(text: string): number {
  if (text === '-1') return -1;
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s?([kmgtp]?)i?b?$/i.exec(text) ?? [];
  const factor = units[unit.toLowerCase()];
  return number === undefined || factor === undefined
    ? failure(`invalid size ${JSON.stringify(text)}: a number of bytes, such as 512M`)
    : Math.trunc(Number(number) * factor);
}

function readInteger(text: string): number {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : failure(`invalid number ${JSON.stringify(text)}`);
}

type Reader = (text: string) => number | string;
const text: Reader = (value) => value;

/** Option, part of the resources, key in it, how its value is read. */
const places: readonly (readonly [string, 'cpu' | 'memory' | 'blockIO' | 'pids', string, Reader])[] = [
  ['blkio-weight', 'blockIO', 'weight', readInteger],
  ['cpu-period', 'cpu', 'period', readInteger],
  ['cpu-quota', 'cpu', 'quota', readInteger],
  ['cpu-burst', 'cpu', 'burst', readInteger],
  ['cpu-share', 'cpu', 'shares', readInteger],
  ['cpu-rt-period', 'cpu', 'realtimePeriod', readInteger],
  ['cpu-rt-runtime', 'cpu', 'realtimeRuntime', readInteger],
  ['cpu-idle', 'cpu', 'idle', readInteger],
  ['cpuset-cpus', 'cpu', 'cpus', text],
  ['cpuset-mems', 'cpu', 'mems', text],
  ['memory', 'memory', 'limit', readBytes],
  ['memory-reservation', 'memory', 'reservation', readBytes],
  ['memory-swap', 'memory', 'swap', readBytes],
  ['kernel-memory', 'memory', 'kernel', readBytes],
  ['kernel-memory-tcp', 'memory', 'kernelTCP', readBytes],
  ['pids-limit', 'pids', 'limit', readInteger],
];

/** Resources with those of update's options on top. Pure. */
export function addResourceOptions(resources: RuntimeResources, given: Given): RuntimeResources {
  for (const name of ['l3-cache-schema', 'mem-bw-schema'])
    if (given.text(name) !== undefined) failure(`--${name} is not supported: there is no Intel RDT`);
  const changed: Record<string, Record<string, unknown>> = {};
  for (const [option, part, key, read] of places) {
    const value = given.text(option);
    if (value === undefined) continue;
    changed[part] ??= { ...resources[part] };
    changed[part][key] = read(value);
  }
  return { ...resources, ...changed };
}
