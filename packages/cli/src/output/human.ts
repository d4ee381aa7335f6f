import { humanDuration } from '@gantry/protocol/human-duration';

const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

function scale(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return `${Number(value.toPrecision(digits))}${units[unit] ?? ''}`;
}

/** As docker's tables: powers of 1000, three digits. */
export const humanSize = (bytes: number, digits = 3): string => scale(bytes, 1000, decimalUnits, digits);

/** Powers of 1024, as `stats` shows memory. */
export const humanBinarySize = (bytes: number): string => scale(bytes, 1024, binaryUnits, 4);

export const humanAge = (unixMs: number, nowMs = Date.now()): string =>
  unixMs === 0 ? 'N/A' : `${humanDuration(Math.max(0, nowMs - unixMs))} ago`;

/** "2026-01-31 12:00:00 +0000 UTC", as docker's CreatedAt in UTC. */
export const humanTime = (unixMs: number): string =>
  `${new Date(unixMs).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;

/** RFC 3339 with nine digits; the last three are zero, since a number does not hold them. */
export function formatNanos(unixNanos: number): string {
  const micros = Math.round(unixNanos / 1e3);
  const seconds = Math.floor(micros / 1e6);
  const fraction = String(micros - seconds * 1e6).padStart(6, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}000Z`;
}

/** Twelve digits, as docker's tables; "sha256:" goes. */
export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12);

export const ellipsis = (text: string, width: number): string =>
  [...text].length <= width ? text : `${[...text].slice(0, width - 1).join('')}…`;
