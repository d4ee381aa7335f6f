import type { RuntimeResources } from '@gantry/oci';
import { sharesRange, weightFromShares } from './cpu-weight.js';
import { parseCpuList } from './cpu-list.js';
import { asked, swapAlone } from './resource-numbers.js';

/** One property of a unit in busctl(1)'s form: its type and the words of its value. */
export interface Property {
  readonly name: string;
  readonly signature: string;
  readonly values: readonly string[];
}

/** systemd's "no limit". */
const infinity = 18_446_744_073_709_551_615n;

const property = (name: string, signature: string, ...values: readonly string[]): Property => ({
  name,
  signature,
  values,
});

/**
 * The unit that "slice:prefix:name" means: `prefix-name.scope` in `slice`. Absent: a scope named after the container.
 * Throws one sentence.
 */
export function parseUnitPath(
  cgroupsPath: string,
  id: string,
  isUser: boolean,
): { readonly slice: string; readonly unit: string } {
  const defaultSlice = isUser ? 'user.slice' : 'system.slice';
  if (cgroupsPath === '') return { slice: defaultSlice, unit: `gantry-oci-${id}.scope` };
  const parts = cgroupsPath.split(':');
  const [slice = '', prefix = '', name = ''] = parts;
  if (parts.length !== 3)
    throw new Error(
      `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got ${JSON.stringify(cgroupsPath)} instead`,
    );
  if (slice !== '' && !/^[A-Za-z0-9:_.@\\-]+\.slice$/.test(slice))
    throw new Error(`invalid slice name: ${slice}`);
  const scope = prefix === '' ? name : `${prefix}-${name}`;
  if (!/^[A-Za-z0-9:_.@\\-]+$/.test(scope)) throw new Error(`invalid unit name: ${scope}`);
  return {
    slice: slice === '' ? defaultSlice : slice,
    unit: name.endsWith('.slice') ? name : `${scope}.scope`,
  };
}

/** What makes the unit what it is. */
export function unitProperties(unit: string, slice: string, pid: number, id: string): readonly Property[] {
  const isScope = unit.endsWith('.scope');
  return [
    property('Description', 's', `Gantry container ${id}`),
    ...(isScope
      ? [
          property('Slice', 's', slice),
          property('Delegate', 'b', 'true'),
          property('PIDs', 'au', '1', String(pid)),
        ]
      : [property('Wants', 'as', '1', slice)]),
    ...['MemoryAccounting', 'CPUAccounting', 'IOAccounting', 'TasksAccounting'].map((name) =>
      property(name, 'b', 'true'),
    ),
    property('DefaultDependencies', 'b', 'false'),
  ];
}

/** The limits that systemd keeps for a unit; the rest is in the files alone. */
export function limitProperties(resources: RuntimeResources, isUnified: boolean): readonly Property[] {
  const { memory = {}, cpu = {}, pids } = resources;
  const properties: Property[] = [];
  const add = (name: string, value: bigint | undefined): void => {
    if (value !== undefined) properties.push(property(name, 't', String(value < 0n ? infinity : value)));
  };
  add(isUnified ? 'MemoryMax' : 'MemoryLimit', asked(memory.limit));
  const shares = asked(cpu.shares);
  if (isUnified) {
    const low = asked(memory.reservation);
    add('MemoryLow', low === undefined ? undefined : low < 0n ? 0n : low);
    const swap = swapAlone(memory);
    if (typeof swap === 'bigint') add('MemorySwapMax', swap);
    if (shares !== undefined && cpu.idle !== 1) add('CPUWeight', BigInt(weightFromShares(Number(shares))));
    properties.push(
      ...listProperty('AllowedCPUs', cpu.cpus),
      ...listProperty('AllowedMemoryNodes', cpu.mems),
    );
  } else if (shares !== undefined) add('CPUShares', shares < BigInt(sharesRange.min) ? 2n : shares);
  const quota = asked(cpu.quota);
  const period = asked(cpu.period);
  if (period !== undefined && quota !== undefined) add('CPUQuotaPeriodUSec', period);
  if (quota !== undefined) add('CPUQuotaPerSecUSec', quotaPerSecond(quota, period ?? 100_000n));
  if (pids?.limit !== undefined) {
    const limit = asked(pids.limit);
    add('TasksMax', limit ?? -1n);
  }
  return properties;
}

/** systemd rounds to 10 ms of each second, and refuses less. */
function quotaPerSecond(quota: bigint, period: bigint): bigint {
  if (quota < 0n) return -1n;
  const perSecond = (quota * 1_000_000n) / period;
  const step = 10_000n;
  return ((perSecond + step - 1n) / step) * step;
}

/** A list of CPUs as systemd wants it: a mask, byte by byte, the least first. */
function listProperty(name: string, list: string | undefined): readonly Property[] {
  const numbers = parseCpuList(list ?? '') ?? [];
  if (numbers.length === 0) return [];
  const bytes = new Uint8Array((Math.max(...numbers) >> 3) + 1);
  for (const number of numbers) bytes[number >> 3] = (bytes[number >> 3] ?? 0) | (1 << (number & 7));
  return [property(name, 'ay', String(bytes.length), ...[...bytes].map(String))];
}

const annotationPrefix = 'org.systemd.property.';
const numberTypes: Readonly<Record<string, string>> = {
  byte: 'y',
  int16: 'n',
  uint16: 'q',
  int32: 'i',
  uint32: 'u',
  int64: 'x',
  uint64: 't',
};

/** `org.systemd.property.NAME` annotations, whose values are in GVariant's text form. Throws one sentence. */
export function annotationProperties(annotations: Readonly<Record<string, string>>): readonly Property[] {
  return Object.entries(annotations)
    .filter(([key]) => key.startsWith(annotationPrefix))
    .map(([key, text]) => {
      const name = key.slice(annotationPrefix.length);
      const value = parseVariant(text.trim());
      if (!/^[A-Z][A-Za-z0-9]+$/.test(name) || value === undefined)
        throw new Error(`annotation ${key}=${text} is not a property that systemd takes`);
      return inMicroseconds(property(name, value.signature, ...value.values));
    });
}

function parseVariant(
  text: string,
): { readonly signature: string; readonly values: readonly string[] } | undefined {
  if (text === 'true' || text === 'false') return { signature: 'b', values: [text] };
  const [, word, digits = ''] = /^(?:(\w+) )?(-?\d+)$/.exec(text) ?? [];
  const signature = word === undefined ? 'i' : numberTypes[word];
  if (digits !== '') return signature === undefined ? undefined : { signature, values: [digits] };
  const quoted = /^(?:'([^'\\]*)'|"([^"\\]*)")$/.exec(text);
  if (quoted !== null) return { signature: 's', values: [quoted[1] ?? quoted[2] ?? ''] };
  const list = /^\[(.*)\]$/.exec(text)?.[1];
  if (list === undefined) return undefined;
  const items = list.split(',').map((item) => /^'([^'\\]*)'$/.exec(item.trim())?.[1]);
  if (items.includes(undefined)) return undefined;
  return { signature: 'as', values: [String(items.length), ...items.map(String)] };
}

/** Unit files count in seconds what the bus counts in microseconds; both spellings are taken. */
function inMicroseconds(given: Property): Property {
  const [value = ''] = given.values;
  if (!given.name.endsWith('Sec') || given.name.endsWith('USec') || !/^\d+$/.test(value)) return given;
  return property(`${given.name.slice(0, -'Sec'.length)}USec`, 't', `${BigInt(value) * 1_000_000n}`);
}
