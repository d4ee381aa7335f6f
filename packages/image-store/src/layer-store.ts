import { availableParallelism } from 'node:os';
import { chmod, mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GantryError } from '@gantry/protocol';
import type { BlobIntake, BlobSource } from './blob-intake.js';
import type { BlobStore } from './blob-store.js';
import { hexOf, isDigest, shortDigest, type Digest } from './digest.js';
import { KeyedQueue } from '@gantry/bus';
import { Holds, SharedWork, Slots } from './shared-work.js';
import { unpackLayer, type UnpackedLayer } from './layer-unpack.js';
import type { CheckedDescriptor } from './manifest.js';
import { syncFileSystem } from './native.js';
import { removePath, sweepDirectory, syncDirectory, temporaryName, withDescriptors } from './state-files.js';
import { storageError } from './storage-error.js';

/** An unpacked layer, shared by every image that has the same layers up to it. */
export interface LayerRecord {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** Content of its files. */
  readonly bytes: number;
  readonly entryCount: number;
  /** Nothing below this layer is visible. */
  readonly opaqueRoot: boolean;
}

export interface LayerProgressReport {
  readonly digest: Digest;
  readonly status: 'waiting' | 'downloading' | 'extracting' | 'done' | 'exists';
  readonly currentBytes: number;
  readonly totalBytes: number;
}

export interface LayerWanted {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly descriptor: CheckedDescriptor;
  /** The layer under it; absent for the lowest. The caller holds all of them. */
  readonly below: LayerWanted | undefined;
}

export interface LayerTools {
  readonly blobs: BlobStore;
  readonly intake: BlobIntake;
}

/**
 * Unpacked layers by chainID: `layers/<hex>/{layer.json,diff}`. A layer is unpacked elsewhere and renamed, so what has its
 * name is whole.
 */
export class LayerStore {
  /** Who needs which layer; what nobody holds may be collected. */
  readonly holds = new Holds();
  readonly #directory: string;
  readonly #incoming: string;
  readonly #tools: LayerTools;
  readonly #layers = new Map<Digest, LayerRecord>();
  readonly #queue = new KeyedQueue();
  readonly #work = new SharedWork<LayerRecord, LayerProgressReport>();
  // More than processors: most of the time a layer that arrives over a network waits for its next bytes.
  readonly #slots = new Slots(Math.max(8, availableParallelism()));

  private constructor(directory: string, tools: LayerTools) {
    this.#directory = directory;
    this.#incoming = join(directory, 'incoming');
    this.#tools = tools;
  }

  static async open(directory: string, tools: LayerTools): Promise<LayerStore> {
    const store = new LayerStore(directory, tools);
    await sweepDirectory(store.#incoming);
    for (const name of await readdir(directory)) {
      const chainId = `sha256:${name}`;
      if (name === 'incoming') continue;
      const record = isDigest(chainId) ? await readLayerRecord(join(directory, name), chainId) : undefined;
      if (record === undefined) await removePath(join(directory, name));
      else store.#layers.set(record.chainId, record);
    }
    return store;
  }

  get(chainId: Digest): LayerRecord | undefined {
    return this.#layers.get(chainId);
  }

  all(): readonly LayerRecord[] {
    return [...this.#layers.values()];
  }

  /** The directory that overlay takes as a lowerdir. */
  diffPath(chainId: Digest): string {
    return join(this.#directory, hexOf(chainId), 'diff');
  }

  /** Makes sure that the layer is here, unpacking it unless it is. The caller must hold its chainId meanwhile. */
  async ensure(
    wanted: LayerWanted,
    source: BlobSource,
    options: { readonly signal: AbortSignal; readonly onProgress: (report: LayerProgressReport) => void },
  ): Promise<LayerRecord> {
    const { chainId, descriptor } = wanted;
    // Behind a removal that has begun.
    const present = await this.#queue.run(chainId, () => Promise.resolve(this.#layers.get(chainId)));
    const tell = (status: LayerProgressReport['status'], currentBytes = 0): LayerProgressReport => ({
      digest: descriptor.digest,
      status,
      currentBytes,
      totalBytes: descriptor.size,
    });
    if (present !== undefined) {
      options.onProgress(tell('exists', descriptor.size));
      return present;
    }
    return this.#work.join(
      chainId,
      (signal, report) =>
        this.#unpack(wanted, source, signal, (status, bytes) => report(tell(status, bytes))),
      options,
    );
  }

  async #unpack(
    wanted: LayerWanted,
    source: BlobSource,
    signal: AbortSignal,
    report: (status: LayerProgressReport['status'], bytes?: number) => void,
  ): Promise<LayerRecord> {
    const { chainId, diffId, descriptor } = wanted;
    const temporary = join(this.#incoming, temporaryName());
    const diff = join(temporary, 'diff');
    report('waiting');
    try {
      await mkdir(diff, { recursive: true, mode: 0o700 });
      // What the container sees as the mode of its root when the layer does not say.
      await chmod(diff, 0o755);
      const result = await unpackLayer({
        ...this.#tools,
        slots: this.#slots,
        source,
        descriptor,
        diffId,
        diff,
        signal,
        report,
      });
      if (result.impliedCount > 0 && wanted.below !== undefined)
        await this.#inherit(wanted.below, source, diff, result, signal);
      const record: LayerRecord = Object.freeze({
        chainId,
        diffId,
        bytes: result.writtenBytes,
        entryCount: result.entryCount,
        opaqueRoot: result.opaqueRoot,
      });
      await writeFile(join(temporary, 'layer.json'), JSON.stringify(record), { mode: 0o600 });
      await this.#queue.run(chainId, async () => {
        if (this.#layers.has(chainId)) return;
        await rename(temporary, join(this.#directory, hexOf(chainId)));
        this.#layers.set(chainId, record);
      });
      report('done', descriptor.size);
      return record;
    } catch (error) {
      throw storageError(
        error,
        'unpackLayer',
        this.#directory,
        `unpacking layer ${shortDigest(descriptor.digest)}`,
      );
    } finally {
      // Gone when it was renamed.
      await removePath(temporary);
    }
  }

  /** Copies what the layers below say of directories that this one's tar left out. They are unpacked at the same time. */
  async #inherit(
    below: LayerWanted,
    source: BlobSource,
    diff: string,
    unpacked: UnpackedLayer,
    signal: AbortSignal,
  ): Promise<void> {
    const paths: string[] = [];
    for (let layer: LayerWanted | undefined = below; layer !== undefined; layer = layer.below) {
      const { opaqueRoot } = await this.ensure(layer, source, { signal, onProgress: () => undefined });
      paths.push(this.diffPath(layer.chainId));
      if (opaqueRoot) break;
    }
    await withDescriptors([diff, ...paths], (root = -1, ...lowers) => unpacked.inherit(root, lowers));
  }

  /** Puts what has been unpacked on the disk, so that a power cut cannot leave empty files in a layer that looks whole. */
  async sync(): Promise<void> {
    const directory = await open(this.#directory, 'r');
    try {
      await syncFileSystem(directory.fd);
    } catch (error) {
      throw storageError(error, 'syncLayers', this.#directory, 'writing layers to disk');
    } finally {
      await directory.close();
    }
  }

  /** Removes the layer unless somebody holds it by now. Answers the bytes it had, undefined when it stays. */
  async removeUnheld(chainId: Digest): Promise<number | undefined> {
    return this.#queue.run(chainId, async () => {
      const record = this.#layers.get(chainId);
      if (record === undefined || this.holds.count(chainId) > 0) return undefined;
      this.#layers.delete(chainId);
      const trash = join(this.#incoming, temporaryName());
      try {
        await rename(join(this.#directory, hexOf(chainId)), trash);
        await syncDirectory(this.#directory);
        await removePath(trash);
      } catch (error) {
        throw storageError(error, 'removeLayer', this.#directory, `removing layer ${shortDigest(chainId)}`);
      }
      return record.bytes;
    });
  }
}

/** Undefined when it is not a layer that can be trusted. */
async function readLayerRecord(path: string, chainId: Digest): Promise<LayerRecord | undefined> {
  let value: Partial<Record<keyof LayerRecord, unknown>>;
  try {
    value = JSON.parse(await readFile(join(path, 'layer.json'), 'utf8')) as typeof value;
  } catch {
    return undefined;
  }
  const { diffId, bytes, entryCount, opaqueRoot } = value;
  if (
    value.chainId !== chainId ||
    !isDigest(diffId) ||
    typeof bytes !== 'number' ||
    typeof entryCount !== 'number'
  )
    return undefined;
  return Object.freeze({ chainId, diffId, bytes, entryCount, opaqueRoot: opaqueRoot === true });
}

/** A layer that should be here and is not. */
export function missingLayer(operation: string, image: string, chainId: Digest): GantryError {
  return new GantryError({
    code: 'data_loss',
    operation,
    object: image,
    message: `layer ${shortDigest(chainId)} of image ${image} is gone: pull the image again`,
  });
}
