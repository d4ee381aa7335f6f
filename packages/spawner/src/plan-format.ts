/** Tags of the plan's records; native/shim/plan.h is their other side. */
export const planTag = Object.freeze({
  flags: 1,
  directory: 2,
  log: 3,
  shimCgroup: 4,
  cgroup: 5,
  userNamespace: 6,
  networkNamespace: 7,
  newNamespaces: 8,
  execTarget: 9,
  attempt: 10,
  layer: 20,
  writable: 21,
  rootDirectory: 22,
  mountFilesystem: 30,
  mountBind: 31,
  link: 33,
  sysctl: 34,
  hostname: 35,
  domainname: 36,
  mask: 37,
  readonly: 38,
  rootPropagation: 40,
  remount: 41,
  device: 42,
  arguments: 50,
  environment: 51,
  workingDirectory: 52,
  user: 53,
  capabilities: 54,
  rlimit: 55,
  oomScoreAdj: 56,
  seccomp: 57,
  window: 58,
  idMap: 60,
  namespacePath: 61,
  hook: 62,
  state: 63,
  startSocket: 64,
  consoleSocket: 65,
  preservedDescriptors: 66,
  pidfdSocket: 67,
  seccompListener: 90,
  scheduler: 80,
  ioPriority: 81,
  cpuAffinity: 82,
  personality: 83,
  memoryPolicy: 84,
  timeOffsets: 85,
  networkDevice: 86,
  securityLabel: 87,
});

export const planFlag = Object.freeze({
  exec: 1,
  terminal: 2,
  openStdin: 4,
  stdinOnce: 8,
  holdOutput: 16,
  rootReadonly: 32,
  noNewPrivileges: 64,
  caller: 1 << 7,
  detach: 1 << 8,
  noPivot: 1 << 9,
  keepKeyring: 1 << 10,
  awaitPlacement: 1 << 11,
  moments: 1 << 12,
});

/** Hooks that run on the way to the container's command. */
export const hookKind = Object.freeze({
  prestart: 1,
  createRuntime: 2,
  createContainer: 3,
  startContainer: 4,
});

export const mountFlag = Object.freeze({ recursive: 1, idmap: 2, tolerated: 4, copyUp: 8, ownMode: 16 });

/** "GPLN". */
const MAGIC = 0x4e4c5047;
const VERSION = 2;
const HEADER_BYTES = 12;

const FIRST_BYTES = 16 * 1024;

/** Records being written into one growing buffer: little-endian, strings with their length before and a NUL after. */
export class RecordWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  u32(value: number): this {
    const at = this.#reserve(4);
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
    return this;
  }

  u64(value: bigint): this {
    const wide = BigInt.asUintN(64, value);
    return this.u32(Number(wide & 0xffffffffn)).u32(Number(wide >> 32n));
  }

  /** The caller has made sure that there is no NUL inside. */
  string(value: string): this {
    const length = Buffer.byteLength(value);
    this.u32(length);
    const at = this.#reserve(length + 1);
    this.#bytes.write(value, at, 'utf8');
    this.#bytes[at + length] = 0;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length);
    // Before the buffer is looked at: making room may replace it.
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  strings(values: readonly string[]): this {
    this.u32(values.length);
    for (const value of values) this.string(value);
    return this;
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** What was written at `at` is another number by now. */
  replaceU32(at: number, value: number): void {
    this.#bytes.writeUInt32LE(value, at);
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    return at;
  }
}

/** A plan being written, record by record; init carries steps out in this order. */
export class PlanWriter {
  readonly #writer = new RecordWriter();
  #records = 0;

  constructor() {
    this.#writer.u32(MAGIC).u32(VERSION).u32(0);
  }

  add(tag: number, write: (record: RecordWriter) => void = () => {}): this {
    const writer = this.#writer.u32(tag).u32(0);
    const start = writer.length;
    write(writer);
    writer.replaceU32(start - 4, writer.length - start);
    this.#records++;
    return this;
  }

  /** Records so far. */
  get length(): number {
    return this.#records;
  }

  finish(): Buffer {
    this.#writer.replaceU32(8, this.#writer.length);
    return this.#writer.finish();
  }
}

/** The records of a plan, for tests and for looking at one. */
export function readPlan(plan: Buffer): readonly { readonly tag: number; readonly payload: Buffer }[] {
  const records: { tag: number; payload: Buffer }[] = [];
  for (let at = HEADER_BYTES; at < plan.length;) {
    const length = plan.readUInt32LE(at + 4);
    records.push({ tag: plan.readUInt16LE(at), payload: plan.subarray(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  return records;
}
