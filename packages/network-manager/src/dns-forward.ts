import { createSocket } from 'node:dgram';
import { readFileSync, statSync } from 'node:fs';
import { createConnection, isIP } from 'node:net';

/** How long one resolver may take before the next is asked. */
const patienceMs = 2_000;
/** The same for one that was silent within the last while. */
const silentPatienceMs = 300;
const silenceMs = 10_000;
const dnsPort = 53;

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

/** Reads the host's resolvers, again whenever the file changes. */
export class HostResolvers {
  readonly #path: string;
  readonly #self: ReadonlySet<string>;
  #stamp = '';
  #list: readonly Upstream[] = [];

  /** `self` are addresses on which we answer: asking ourselves would never end. */
  constructor(path: string, self: readonly string[]) {
    this.#path = path;
    this.#self = new Set(self);
  }

  list(): readonly Upstream[] {
    try {
      const { mtimeMs, ino, size } = statSync(this.#path);
      const stamp = `${mtimeMs}/${ino}/${size}`;
      if (stamp !== this.#stamp) {
        this.#stamp = stamp;
        this.#list = parseResolvers(readFileSync(this.#path, 'utf8'))
          .filter((address) => !this.#self.has(address))
          .map(asUpstream);
      }
    } catch {
      this.#list = [];
    }
    return this.#list;
  }
}

export function asUpstream(address: string): Upstream {
  return { address, port: dnsPort };
}

/** Addresses after `nameserver` (resolv.conf(5)), in their order. */
export function parseResolvers(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address !== undefined && isIP(address) !== 0 ? [address] : [];
  });
}

/** Asks resolvers, and remembers which of them were silent. */
export class Forwarder {
  /** When a silent resolver gets full patience again, by address and port. */
  readonly #silentUntil = new Map<string, number>();
  readonly #answeredAt = new Map<string, number>();

  /**
   * Asks one after the other; undefined when none answers in time. The answer carries the query's id. One that was
   * silent a moment ago is still asked, but not waited for as long: a node without its resolvers fails fast.
   */
  async forward(
    bytes: Buffer,
    upstreams: readonly Upstream[],
    overTcp: boolean,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    for (const upstream of upstreams) {
      const key = `${upstream.address} ${upstream.port}`;
      const asked = performance.now();
      const silent = (this.#silentUntil.get(key) ?? 0) > asked;
      const patience = AbortSignal.any([signal, AbortSignal.timeout(silent ? silentPatienceMs : patienceMs)]);
      const answer = await (overTcp ? askOverTcp : askOverUdp)(bytes, upstream, patience);
      if (answer !== undefined) {
        this.#silentUntil.delete(key);
        this.#answeredAt.set(key, performance.now());
        return answer;
      }
      if (signal.aborted) return undefined;
      // One that answered others meanwhile is only slow about this name.
      const answeredOthers = (this.#answeredAt.get(key) ?? -1) > asked;
      if (patience.aborted && !answeredOthers) this.#silentUntil.set(key, performance.now() + silenceMs);
    }
    return undefined;
  }
}

/** A socket of its own per query: an unforeseeable source port beside the id makes answers hard to forge (RFC 5452). */
function askOverUdp(bytes: Buffer, upstream: Upstream, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(upstream.address) === 6 ? 'udp6' : 'udp4');
    const id = Math.floor(Math.random() * 0x10000);
    const question = Buffer.from(bytes);
    question.writeUInt16BE(id, 0);
    const finish = (answer: Buffer | undefined): void => {
      signal.removeEventListener('abort', give);
      socket.removeAllListeners('message');
      socket.close();
      resolve(answer);
    };
    const give = (): void => finish(undefined);
    signal.addEventListener('abort', give, { once: true });
    socket.once('error', give);
    socket.on('message', (answer) => {
      if (!isAnswerTo(answer, question)) return;
      answer.writeUInt16BE(bytes.readUInt16BE(0), 0);
      finish(answer);
    });
    // Connected: the kernel drops what any other address sends.
    socket.connect(upstream.port, upstream.address, () => {
      if (!signal.aborted) socket.send(question);
    });
  });
}

function askOverTcp(bytes: Buffer, upstream: Upstream, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: upstream.address, port: upstream.port, signal });
    const frames = new FrameReader();
    const finish = (answer: Buffer | undefined): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('error', () => finish(undefined));
    socket.on('close', () => finish(undefined));
    socket.on('data', (chunk) => {
      for (const frame of frames.push(chunk)) {
        if (isAnswerTo(frame, bytes)) return finish(frame);
      }
    });
    socket.on('connect', () => socket.write(asFrame(bytes)));
  });
}

/** Same id, a response, and the same question section. */
function isAnswerTo(answer: Buffer, question: Buffer): boolean {
  if (
    answer.length < 12 ||
    answer.readUInt16BE(0) !== question.readUInt16BE(0) ||
    (answer.readUInt8(2) & 0x80) === 0
  )
    return false;
  if (answer.readUInt16BE(4) !== 1) return answer.readUInt16BE(4) === 0;
  const asked = questionText(question);
  return asked !== undefined && asked === questionText(answer);
}

/** Name (folded: some resolvers answer in another case), type and class as one text. */
function questionText(bytes: Buffer): string | undefined {
  let end = 12;
  for (let length = bytes[end]; length !== 0; length = bytes[end]) {
    if (length === undefined || length > 63) return undefined;
    end += length + 1;
  }
  return end + 5 > bytes.length
    ? undefined
    : bytes
        .subarray(12, end + 5)
        .toString('latin1')
        .toLowerCase();
}

/** A message as it travels over TCP: two bytes of length, then itself (RFC 1035, 4.2.2). */
export function asFrame(bytes: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(bytes.length + 2);
  frame.writeUInt16BE(bytes.length, 0);
  bytes.copy(frame, 2);
  return frame;
}

/** Cuts a TCP stream into messages. Holds at most one, of 64 KiB. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Buffer[] = [];
    while (this.#rest.length >= 2) {
      const end = 2 + this.#rest.readUInt16BE(0);
      if (this.#rest.length < end) break;
      frames.push(this.#rest.subarray(2, end));
      this.#rest = this.#rest.subarray(end);
    }
    return frames;
  }
}
