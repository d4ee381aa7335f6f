import { refuse } from './refusal.js';

/** More than any kernel is built for: CPUs up to 8192, memory nodes up to 1024. */
const LARGEST_NUMBER = 8191;

/** `0-3,7` as a bit mask in whole 64-bit words, little-endian as the kernel takes it; empty for an empty list. */
export function parseNumberList(list: string, what: string): Buffer {
  let mask = 0n;
  for (const part of list === '' ? [] : list.split(',')) {
    const range = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part);
    const first = Number(range?.[1]);
    const last = Number(range?.[2] ?? range?.[1]);
    if (range === null || last > LARGEST_NUMBER || first > last)
      refuse(`${what} is ${JSON.stringify(list)}, which is not a list of numbers and ranges like 0-3,7`);
    mask |= ((1n << BigInt(last - first + 1)) - 1n) << BigInt(first);
  }
  const words = Math.ceil(mask.toString(2).length / 64);
  const bytes = Buffer.alloc(mask === 0n ? 0 : words * 8);
  for (let index = 0; index * 8 < bytes.length; index++)
    bytes.writeBigUInt64LE((mask >> BigInt(64 * index)) & 0xffffffffffffffffn, index * 8);
  return bytes;
}
