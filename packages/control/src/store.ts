import { GantryError, asGantryError, control, type Codec } from '@gantry/protocol';
import { DiscardPolicy, NatsError, type JetStreamManager, type KV, type NatsConnection } from 'nats';
import type { Histogram } from 'prom-client';

/** What the bucket says of itself; written last when a bucket is filled: a bucket without it is not whole. */
export interface StoreMeta {
  readonly clusterId: string;
  readonly generation: number;
  /** Control nodes that this bucket was made for. */
  readonly controls: number;
}

/** A join token as the store keeps it. */
export interface JoinTokenRecord {
  readonly id: string;
  readonly role: 'worker' | 'control';
  readonly secretSha256: string;
  readonly expiresUnixMs: number;
  /** Who joined with it; empty while it is unused. */
  readonly usedBy: string;
  readonly usedKey: string;
}

export interface LeaderRecord {
  readonly nodeId: string;
  readonly term: number;
  /** Grows with every renewal. */
  readonly beat: number;
}

/** All entries, by key, as bytes: what a seed file holds. */
export type Contents = ReadonlyMap<string, Uint8Array>;

export const bucketName = (generation: number): string => `gantry-${generation}`;
const auditStream = (generation: number): string => `gantry-audit-${generation}`;
/** Below $KV, where control may publish. */
const auditSubject = (generation: number): string => `$KV.gantry-audit.${generation}`;
const keptAuditEntries = 10_000;

/** Asking JetStream takes no longer than this, milliseconds. */
const requestTimeoutMs = 2_500;
/** Looking whether there is a store takes no longer: without quorum nobody answers, and it is looked again, milliseconds. */
const lookTimeoutMs = 800;
/** Entries that are read beside each other. */
const readsAtOnce = 64;

interface Entry {
  readonly data: Uint8Array;
  readonly revision: number;
}

/** The kinds of entries: their keys are "<kind>.<id>". */
export const kinds = {
  node: control.NodeRecordCodec,
  stack: control.StackCodec,
  service: control.ServiceCodec,
  task: control.TaskCodec,
  status: control.TaskStatusCodec,
  apitoken: control.ApiTokenCodec,
} as const;

export type Kind = keyof typeof kinds;
export type ValueOf<K extends Kind> = (typeof kinds)[K] extends Codec<infer T> ? T : never;

export const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
export const decodeJson = <T>(bytes: Uint8Array): T => JSON.parse(new TextDecoder().decode(bytes)) as T;

/**
 * The cluster's durable state: one JetStream key-value bucket, written by the leader alone, by compare-and-set. A write that
 * meets another revision means that somebody else leads; it throws `failed_precondition`.
 */
export class Store {
  readonly generation: number;
  readonly #connection: NatsConnection;
  readonly #kv: KV;
  readonly #manager: JetStreamManager;
  readonly #writeSeconds: Histogram;
  readonly #revisions = new Map<string, number>();
  /** Keys whose last entry is the mark of their removal. */
  readonly #removed = new Set<string>();
  #revision = 0;

  private constructor(
    connection: NatsConnection,
    kv: KV,
    manager: JetStreamManager,
    generation: number,
    writeSeconds: Histogram,
  ) {
    this.#connection = connection;
    this.#kv = kv;
    this.#manager = manager;
    this.generation = generation;
    this.#writeSeconds = writeSeconds;
  }

  /** Opens the bucket of a generation; undefined when there is none. Throws `unavailable` without quorum. */
  static async open(
    connection: NatsConnection,
    generation: number,
    writeSeconds: Histogram,
  ): Promise<Store | undefined> {
    const manager = await asking('open store', () =>
      connection.jetstreamManager({ timeout: requestTimeoutMs, checkAPI: false }),
    );
    const hasty = await asking('open store', () =>
      connection.jetstreamManager({ timeout: lookTimeoutMs, checkAPI: false }),
    );
    const isThere = await asking('open store', () => streamExists(hasty, `KV_${bucketName(generation)}`));
    if (!isThere) return undefined;
    const kv = await asking('open store', () =>
      connection
        .jetstream({ timeout: requestTimeoutMs })
        .views.kv(bucketName(generation), { bindOnly: true }),
    );
    return new Store(connection, kv, manager, generation, writeSeconds);
  }

  /** Makes the bucket of a generation, or finds it half-made. */
  static async create(
    connection: NatsConnection,
    generation: number,
    replicas: number,
    writeSeconds: Histogram,
  ): Promise<Store> {
    const manager = await asking('create store', () =>
      connection.jetstreamManager({ timeout: requestTimeoutMs, checkAPI: false }),
    );
    const kv = await asking('create store', () =>
      connection
        .jetstream({ timeout: requestTimeoutMs })
        .views.kv(bucketName(generation), { history: 1, replicas }),
    );
    await asking('create store', async () => {
      if (await streamExists(manager, auditStream(generation))) return;
      await manager.streams.add({
        name: auditStream(generation),
        subjects: [auditSubject(generation)],
        max_msgs: keptAuditEntries,
        discard: DiscardPolicy.Old,
        num_replicas: replicas,
      });
    });
    return new Store(connection, kv, manager, generation, writeSeconds);
  }

  /** Highest revision that this store has shown or acknowledged. */
  get revision(): number {
    return this.#revision;
  }

  /** Last revision of the bucket, asked of the store itself. */
  async lastRevision(): Promise<number> {
    const info = await asking('read store', () =>
      this.#manager.streams.info(`KV_${bucketName(this.generation)}`),
    );
    return info.state.last_seq;
  }

  async readMeta(): Promise<StoreMeta | undefined> {
    const entry = await this.read('meta');
    return entry === undefined ? undefined : decodeJson<StoreMeta>(entry.data);
  }

  async read(key: string): Promise<Entry | undefined> {
    const entry = await asking('read store', () => this.#kv.get(key));
    if (entry === null || entry.operation !== 'PUT') return undefined;
    this.#saw(entry.revision);
    return { data: entry.value, revision: entry.revision };
  }

  /**
   * Every entry, no older than `atLeast`. Remembers the revisions for the writes that follow. Key by key: a watch would need
   * a consumer, which nats-server may place on the very machine that has just died.
   */
  async load(atLeast: number, signal: AbortSignal): Promise<Contents> {
    const contents = new Map<string, Uint8Array>();
    const stream = `KV_${bucketName(this.generation)}`;
    const prefix = `$KV.${bucketName(this.generation)}.`;
    await asking('read store', async () => {
      const { state } = await this.#manager.streams.info(stream, { subjects_filter: `${prefix}>` });
      if (state.last_seq < atLeast)
        throw unavailable('read store', 'the store does not show yet what it has acknowledged');
      const waiting = Object.keys(state.subjects ?? {});
      const readSome = async (): Promise<void> => {
        for (let subject = waiting.pop(); subject !== undefined; subject = waiting.pop()) {
          if (signal.aborted) throw unavailable('read store', 'control is stopping');
          const entry = await this.#lastOf(stream, subject);
          const key = subject.slice(prefix.length);
          if (entry === undefined) {
            this.#revisions.delete(key);
            this.#removed.add(key);
          } else {
            this.#saw(entry.revision);
            this.#revisions.set(key, entry.revision);
            contents.set(key, entry.data);
          }
        }
      };
      await Promise.all(Array.from({ length: readsAtOnce }, readSome));
    });
    return contents;
  }

  /** The newest message of a subject; undefined when it removed the entry, or is gone itself. */
  async #lastOf(stream: string, subject: string): Promise<Entry | undefined> {
    try {
      const message = await this.#manager.streams.getMessage(stream, { last_by_subj: subject });
      const operation = message.header.get('KV-Operation');
      return operation === '' ? { data: message.data, revision: message.seq } : undefined;
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === noMessageFound) return undefined;
      throw error;
    }
  }

  /** Writes one entry against the revision last seen of it. */
  async write(key: string, data: Uint8Array): Promise<void> {
    const stop = this.#writeSeconds.startTimer();
    const known = this.#revisions.get(key);
    const revision = await asking('write store', () =>
      // Zero: nothing was ever there, or its last entry was a removal.
      known === undefined ? this.#kv.create(key, data) : this.#kv.update(key, data, known),
    );
    this.#revisions.set(key, revision);
    this.#saw(revision);
    stop();
  }

  async delete(key: string): Promise<void> {
    const known = this.#revisions.get(key);
    if (known === undefined) return;
    await asking('write store', () => this.#kv.purge(key, { previousSeq: known }));
    this.#revisions.delete(key);
    this.#removed.add(key);
  }

  /** Takes out the marks that removed entries leave: each load would read them all. */
  async forgetRemovals(): Promise<void> {
    const bucket = bucketName(this.generation);
    for (const key of [...this.#removed]) {
      if (this.#revisions.has(key)) continue;
      await asking('tidy store', () =>
        this.#manager.streams.purge(`KV_${bucket}`, { filter: `$KV.${bucket}.${key}` }),
      );
      this.#removed.delete(key);
    }
  }

  /** Remembers a revision that was read apart from `load`: the election's. */
  expect(key: string, revision: number | undefined): void {
    if (revision === undefined) this.#revisions.delete(key);
    else this.#revisions.set(key, revision);
  }

  revisionOf(key: string): number | undefined {
    return this.#revisions.get(key);
  }

  async appendAudit(entry: control.AuditEntry): Promise<void> {
    await asking('write audit', () =>
      this.#connection
        .jetstream({ timeout: requestTimeoutMs })
        .publish(auditSubject(this.generation), control.AuditEntryCodec.encode(entry)),
    );
  }

  /** Newest first. */
  async readAudit(limit: number): Promise<control.AuditEntry[]> {
    return asking('read audit', async () => {
      const { state } = await this.#manager.streams.info(auditStream(this.generation));
      const entries: control.AuditEntry[] = [];
      for (let seq = state.last_seq; seq >= state.first_seq && seq > 0 && entries.length < limit; seq -= 1) {
        const message = await this.#manager.streams.getMessage(auditStream(this.generation), { seq });
        entries.push(control.AuditEntryCodec.decode(message.data));
      }
      return entries;
    });
  }

  #saw(revision: number): void {
    if (revision > this.#revision) this.#revision = revision;
  }
}

async function streamExists(manager: JetStreamManager, name: string): Promise<boolean> {
  try {
    await manager.streams.info(name);
    return true;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === streamNotFound) return false;
    throw error;
  }
}

/** JetStream's own error codes. */
const noMessageFound = 10037;
const streamNotFound = 10059;
const wrongLastSequence = 10071;

/** Names what went wrong in the codes of the house. */
async function asking<T>(operation: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof GantryError) throw error;
    if (error instanceof NatsError && error.api_error?.err_code === wrongLastSequence)
      throw new GantryError({
        code: 'failed_precondition',
        operation,
        object: 'store',
        message: 'another control node has written meanwhile',
        cause: error,
      });
    throw unavailable(
      operation,
      `the store does not answer: ${asGantryError(error, operation).message}`,
      error,
    );
  }
}

function unavailable(operation: string, message: string, cause?: unknown): GantryError {
  return new GantryError({
    code: 'unavailable',
    operation,
    object: 'store',
    message,
    cause,
    retryable: true,
  });
}
