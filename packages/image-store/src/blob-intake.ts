import { unlink } from 'node:fs/promises';
import type { BlobStore } from './blob-store.js';
import { shortDigest, type Digest } from './digest.js';
import { IncomingBlob } from './incoming-blob.js';
import { Slots } from './shared-work.js';
import type { CheckedDescriptor } from './manifest.js';

/** Where blobs come from: a registry, a layout on disk. */
export interface BlobSource {
  /** For messages: "registry docker.io", "/tmp/image.tar". */
  readonly name: string;
  /** Reads the blob in pieces. Digest and size are checked by who takes it. */
  readBlob(
    descriptor: CheckedDescriptor,
    take: (chunks: readonly Uint8Array[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
  /** A whole file that may be taken away, when the source has it so. */
  takeFile?(descriptor: CheckedDescriptor): Promise<string | undefined>;
}

/** A blob that is arriving, for one reader. */
export interface Arrival {
  readonly blob: IncomingBlob;
  /** Settles when all bytes are there, or none will come any more. */
  readonly arrived: Promise<void>;
  /** Must be called; the last one to leave stops what is still arriving and removes what was not committed. */
  leave(): Promise<void>;
}

interface Running {
  readonly blob: Promise<IncomingBlob>;
  readonly arrived: Promise<void>;
  readonly abort: AbortController;
  readers: number;
}

/** Brings each blob in once, however many layers are made of it at the same time. */
export class BlobIntake {
  readonly #blobs: BlobStore;
  readonly #slots: Slots;
  readonly #running = new Map<Digest, Running>();

  constructor(blobs: BlobStore, parallelDownloads: number) {
    this.#blobs = blobs;
    this.#slots = new Slots(parallelDownloads);
  }

  async join(descriptor: CheckedDescriptor, source: BlobSource): Promise<Arrival> {
    const { digest } = descriptor;
    const running = this.#running.get(digest) ?? this.#start(descriptor, source);
    running.readers += 1;
    const leave = async (): Promise<void> => {
      running.readers -= 1;
      if (running.readers > 0) return;
      if (this.#running.get(digest) === running) this.#running.delete(digest);
      running.abort.abort(new Error(`nobody needs ${shortDigest(digest)} any more`));
      await running.arrived.catch(() => undefined);
      const blob = await running.blob;
      await blob.close();
      // Not there when it was committed.
      await unlink(blob.path).catch(() => undefined);
    };
    try {
      return { blob: await running.blob, arrived: running.arrived, leave };
    } catch (error) {
      running.readers -= 1;
      this.#running.delete(digest);
      throw error;
    }
  }

  #start(descriptor: CheckedDescriptor, source: BlobSource): Running {
    const abort = new AbortController();
    const path = this.#blobs.incomingPath();
    const blob = (async () => {
      const whole = await source.takeFile?.(descriptor);
      return whole === undefined
        ? IncomingBlob.create(path, descriptor.size)
        : IncomingBlob.adopt(path, whole);
    })();
    const arrived = (async () => {
      const incoming = await blob;
      if (incoming.ended) return;
      await this.#slots.run(abort.signal, async () => {
        await source.readBlob(descriptor, (chunks) => incoming.write(chunks), abort.signal);
      });
      incoming.end();
    })();
    arrived.catch(() => undefined);
    const running: Running = { blob, arrived, abort, readers: 0 };
    this.#running.set(descriptor.digest, running);
    return running;
  }
}
