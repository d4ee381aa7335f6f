/** "name value" lines, as memory.stat and cpu.stat have them. */
export function parseNamedNumbers(text: string): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space > 0) numbers.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return numbers;
}

/** A lone number; 0 for an absent file. */
export function parseNumber(text: string): number {
  return Number(text) || 0;
}

/** v1 writes "no limit" as the largest multiple of the page size, v2 as "max": both as 0. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  return Number.isFinite(limit) && limit < 2 ** 62 && limit > 0 ? limit : 0;
}

/** Bytes and operations of one block device. */
export interface BlockDeviceFigures {
  major: number;
  minor: number;
  readBytes: number;
  writeBytes: number;
  readOperations: number;
  writeOperations: number;
}

class BlockDevices {
  readonly #devices = new Map<string, BlockDeviceFigures>();

  /** Undefined when the text is not "major:minor". */
  at(device: string): BlockDeviceFigures | undefined {
    const found = this.#devices.get(device);
    const match = /^(\d+):(\d+)$/.exec(device);
    if (found !== undefined || match === null) return found;
    const made = {
      major: Number(match[1]),
      minor: Number(match[2]),
      readBytes: 0,
      writeBytes: 0,
      readOperations: 0,
      writeOperations: 0,
    };
    this.#devices.set(device, made);
    return made;
  }

  list(): readonly BlockDeviceFigures[] {
    return [...this.#devices.values()];
  }
}

/** v1's blkio.throttle.io_service_bytes and io_serviced: lines "8:0 Read 4096". */
export function parseBlkio(serviceBytes: string, serviced: string): readonly BlockDeviceFigures[] {
  const devices = new BlockDevices();
  for (const line of serviceBytes.split('\n')) {
    const [name = '', operation, value] = line.split(' ');
    const device = devices.at(name);
    if (device === undefined) continue;
    if (operation === 'Read') device.readBytes = Number(value);
    if (operation === 'Write') device.writeBytes = Number(value);
  }
  for (const line of serviced.split('\n')) {
    const [name = '', operation, value] = line.split(' ');
    const device = devices.at(name);
    if (device === undefined) continue;
    if (operation === 'Read') device.readOperations = Number(value);
    if (operation === 'Write') device.writeOperations = Number(value);
  }
  return devices.list();
}

/** v2's io.stat: lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0". */
export function parseIoStat(text: string): readonly BlockDeviceFigures[] {
  const devices = new BlockDevices();
  for (const line of text.split('\n')) {
    const [name = '', ...pairs] = line.split(' ');
    const device = devices.at(name);
    if (device === undefined) continue;
    for (const pair of pairs) {
      const [key, value] = pair.split('=');
      if (key === 'rbytes') device.readBytes = Number(value);
      if (key === 'wbytes') device.writeBytes = Number(value);
      if (key === 'rios') device.readOperations = Number(value);
      if (key === 'wios') device.writeOperations = Number(value);
    }
  }
  return devices.list();
}
