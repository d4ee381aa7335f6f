import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What containers write into their logs. */
export const logFiles = [
  { name: 'lines-of-100', id: 'log-100', what: 'lines of 100 bytes' },
  { name: 'lines-of-20', id: 'log-20', what: 'lines of 20 bytes' },
  { name: 'binary', id: 'log-binary', what: 'binary' },
] as const;
export type LogFile = (typeof logFiles)[number]['name'];

/** Seeded, so that every run writes the same (mulberry32). */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const PIECE_BYTES = 1_000_000;

/** Writes `bytes` of this kind below a root; answers the path inside. */
export function writeLogFile(rootfs: string, name: LogFile, bytes: number): string {
  const random = makeRandom(1);
  const make = name === 'binary' ? binaryByte : letter;
  const piece = Buffer.alloc(PIECE_BYTES).map(() => make(random()));
  const lineBytes = name === 'lines-of-100' ? 100 : name === 'lines-of-20' ? 20 : 0;
  if (lineBytes > 0) for (let at = lineBytes - 1; at < PIECE_BYTES; at += lineBytes) piece[at] = 0x0a;
  const path = join('/data', name);
  writeFileSync(join(rootfs, path), '');
  for (let written = 0; written < bytes; written += PIECE_BYTES)
    writeFileSync(join(rootfs, path), piece, { flag: 'a' });
  return path;
}

const letter = (chance: number): number => 0x61 + Math.floor(chance * 26);

/** Any byte but those that may begin a longer UTF-8 sequence (C2 to F4): so each that is not ASCII is one U+FFFD in the log. */
function binaryByte(chance: number): number {
  const byte = Math.floor(chance * (256 - 51));
  return byte < 0xc2 ? byte : byte + 51;
}
