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

const VERSION = 2;
const HEADER_BYTES = 12;

/** One record's payload being written: little-endian, strings with their length before and a NUL after. */
export class RecordWriter {
  readonly #parts: Buffer[] = [];

  u32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32LE(value >>> 0);
    this.#parts.push(part);
    return this;
  }

  u64(value: bigint): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64LE(value);
    this.#parts.push(part);
    return this;
  }

  /** The caller has made sure that there is no NUL inside. */
  string(value: string): this {
    const bytes = Buffer.from(value);
    this.u32(bytes.length);
    this.#parts.push(bytes, Buffer.alloc(1));
    return this;
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.#parts.push(Buffer.from(value));
    return this;
  }

  strings(values: readonly string[]): this {
    this.u32(values.length);
    for (const value of values) this.string(value);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** A plan being written, record by record; init carries steps out in this order. */
export class PlanWriter {
  readonly #records: Buffer[] = [];

  add(tag: number, write: (record: RecordWriter) => void = () => {}): this {
    const record = new RecordWriter();
    write(record);
    const payload = record.finish();
    const head = Buffer.alloc(8);
    head.writeUInt16LE(tag, 0);
    head.writeUInt32LE(payload.length, 4);
    this.#records.push(head, payload);
    return this;
  }

  /** Records so far. */
  get length(): number {
    return this.#records.length / 2;
  }

  finish(): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    const length = this.#records.reduce((sum, part) => sum + part.length, HEADER_BYTES);
    header.write('GPLN', 0, 'latin1');
    header.writeUInt32LE(VERSION, 4);
    header.writeUInt32LE(length, 8);
    return Buffer.concat([header, ...this.#records], length);
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
