import { join } from 'node:path';
import { GantryError, isGantryError, type common } from '@gantry/protocol';
import { readConfig, type AssemblyOptions, type StoreParts } from './assemble.js';
import { BlobIntake } from './blob-intake.js';
import { BlobStore } from './blob-store.js';
import type { ImageStoreConfig } from './config.js';
import { digestOf, type Digest } from './digest.js';
import { ImageCatalog, type ImageRecord } from './image-catalog.js';
import { SharedWork } from './shared-work.js';
import { LayerStore, type LayerProgressReport } from './layer-store.js';
import { loadImages } from './load.js';
import { formatPlatform, matchesPlatform, parsePlatform } from './platform.js';
import { pullImage } from './pull.js';
import { formatReference, parseReference, type Reference } from './reference.js';
import type { Credentials } from './registry-auth.js';
import { RootfsStore, type PreparedRootfs } from './rootfs-store.js';
import { sweepDirectory } from './state-files.js';

const parallelDownloads = 6;

export interface PullRequest {
  readonly reference: string;
  readonly platform: string;
  readonly policy: string;
  readonly credentials: Credentials | undefined;
}

export interface Removal {
  readonly untagged: readonly string[];
  readonly deleted: readonly Digest[];
  readonly bytes: number;
}

/** All images of a node: what is fetched, what is unpacked, who uses it. */
export class ImageStore {
  readonly parts: StoreParts;
  readonly rootfs: RootfsStore;
  readonly #loadDirectory: string;
  readonly #insecureRegistries: readonly string[];
  readonly #running = new Set<Promise<unknown>>();
  readonly #pulls = new SharedWork<ImageRecord, LayerProgressReport>();

  private constructor(
    parts: StoreParts,
    rootfs: RootfsStore,
    loadDirectory: string,
    insecureRegistries: readonly string[],
  ) {
    this.parts = parts;
    this.rootfs = rootfs;
    this.#loadDirectory = loadDirectory;
    this.#insecureRegistries = insecureRegistries;
  }

  /** Opens the store and drops everything that is half-made or that nobody holds. */
  static async open(config: ImageStoreConfig): Promise<ImageStore> {
    const loads = join(config.state_dir, 'blobs', 'loading');
    const blobs = await BlobStore.open(join(config.state_dir, 'blobs'));
    await sweepDirectory(loads);
    const intake = new BlobIntake(blobs, parallelDownloads);
    const layers = await LayerStore.open(join(config.state_dir, 'layers'), { blobs, intake });
    const catalog = await ImageCatalog.open(join(config.state_dir, 'images'));
    for (const image of catalog.all()) {
      layers.holds.hold(image.chainIds);
      blobs.holds.hold(image.blobs);
    }
    const rootfs = await RootfsStore.open(join(config.state_dir, 'rootfs'), layers);
    const store = new ImageStore(
      { blobs, intake, layers, catalog },
      rootfs,
      loads,
      config.insecure_registries,
    );
    await store.collect();
    return store;
  }

  async pull(request: PullRequest, options: AssemblyOptions): Promise<ImageRecord> {
    const reference = parseReference(request.reference, 'PullImage');
    const platform = parsePlatform(request.platform);
    const policy = request.policy === '' ? 'always' : request.policy;
    if (!['always', 'missing', 'never'].includes(policy))
      throw new GantryError({
        code: 'invalid_argument',
        operation: 'PullImage',
        object: policy,
        message: `${JSON.stringify(policy)} is not a pull policy: there are always, missing and never`,
      });
    const present = policy === 'always' ? undefined : this.#findWhole(reference, request.platform);
    if (present !== undefined) return present;
    const shown = formatReference(reference);
    if (policy === 'never')
      throw new GantryError({
        code: 'not_found',
        operation: 'PullImage',
        object: shown,
        message: `image ${shown} is not on this node, and the pull policy is never`,
      });
    const key = digestOf(
      JSON.stringify([shown, formatPlatform(platform), request.platform !== '', request.credentials]),
    );
    return this.#pulls.join(
      key,
      (signal, onProgress) =>
        this.#cleaningUp(() =>
          pullImage(this.parts, {
            reference,
            platform,
            strictPlatform: request.platform !== '',
            credentials: request.credentials,
            insecureRegistries: this.#insecureRegistries,
            signal,
            onProgress,
          }),
        ),
      options,
    );
  }

  /** An image that is here with all its layers, for the platform that was asked for. */
  #findWhole(reference: Reference, platform: string): ImageRecord | undefined {
    const image = this.parts.catalog.byReference(reference);
    if (
      image === undefined ||
      !image.chainIds.every((chainId) => this.parts.layers.get(chainId) !== undefined)
    )
      return undefined;
    const suits = platform === '' || matchesPlatform(parsePlatform(image.platform), parsePlatform(platform));
    return suits ? image : undefined;
  }

  async load(
    request: { readonly source: common.KernelHandle; readonly removeSource: boolean },
    options: AssemblyOptions & { readonly onImage: (image: ImageRecord) => void },
  ): Promise<void> {
    await this.#cleaningUp(() =>
      loadImages(this.parts, { ...request, ...options, workDirectory: this.#loadDirectory }),
    );
  }

  /** What can be tried again keeps the layers that are whole; what failed for good leaves nothing. */
  async #cleaningUp<T>(work: () => Promise<T>): Promise<T> {
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      const lasting = isGantryError(error) && (!error.retryable || error.code === 'resource_exhausted');
      if (lasting) await this.collect();
      throw error;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Waits for pulls and loads to end; their callers' signals are what ends them. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  async tag(name: string, reference: string): Promise<ImageRecord> {
    const { image } = this.parts.catalog.find(name, 'TagImage');
    const parsed = parseReference(reference, 'TagImage');
    if (parsed.digest !== undefined)
      throw new GantryError({
        code: 'invalid_argument',
        operation: 'TagImage',
        object: reference,
        message: `${reference} has a digest: a tag is given a name of its own`,
      });
    return this.parts.catalog.add({
      ...image,
      names: [{ reference: formatReference(parsed), since: Date.now() }],
    });
  }

  async remove(name: string, force: boolean): Promise<Removal> {
    const { image, reference } = this.parts.catalog.find(name, 'RemoveImage');
    const names = image.names.map((entry) => entry.reference);
    if (reference !== undefined) {
      const given = formatReference(reference);
      const own = names.includes(given) ? [given] : names;
      if (own.length < names.length) {
        await this.parts.catalog.untag(image.id, own);
        return { untagged: own, deleted: [], bytes: 0 };
      }
    } else if (names.length > 1 && !force) {
      throw new GantryError({
        code: 'failed_precondition',
        operation: 'RemoveImage',
        object: name,
        message: `image ${name} has several names (${names.join(', ')}): remove them one by one, or force it`,
      });
    }
    this.#refuseWhenUsed(image, name);
    return this.#delete([image]);
  }

  #refuseWhenUsed(image: ImageRecord, name: string): void {
    const [holder, ...others] = this.rootfs.holdersOf(image.id);
    if (holder === undefined) return;
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    throw new GantryError({
      code: 'failed_precondition',
      operation: 'RemoveImage',
      object: name,
      message: `image ${name} is used by container ${holder}${more}: remove the container first`,
    });
  }

  async prune(all: boolean): Promise<Removal> {
    return this.#delete(
      this.parts.catalog
        .all()
        .filter((image) => (all || image.names.length === 0) && this.rootfs.countOf(image.id) === 0),
    );
  }

  async #delete(images: readonly ImageRecord[]): Promise<Removal> {
    const { catalog, layers, blobs } = this.parts;
    const untagged: string[] = [];
    const deleted: Digest[] = [];
    // A container may have been prepared since the list was made; taking images out of memory leaves it no further chance.
    const unused = images.filter(
      (image) => this.rootfs.countOf(image.id) === 0 && catalog.get(image.id) !== undefined,
    );
    const forgotten = unused.map((image) => {
      const current = catalog.get(image.id) ?? image;
      untagged.push(...current.names.map(({ reference }) => reference));
      deleted.push(current.id);
      const done = catalog.remove(current.id);
      layers.holds.release(current.chainIds);
      blobs.holds.release(current.blobs);
      return done;
    });
    await Promise.all(forgotten);
    const collected = await this.collect();
    return { untagged, deleted: [...deleted, ...collected.layers], bytes: collected.bytes };
  }

  /** Removes layers and blobs that nobody holds. */
  async collect(): Promise<{ readonly layers: readonly Digest[]; readonly bytes: number }> {
    const { layers, blobs } = this.parts;
    const removed: Digest[] = [];
    let bytes = 0;
    for (const { chainId } of layers.all()) {
      if (layers.holds.count(chainId) > 0) continue;
      const freed = await layers.removeUnheld(chainId);
      if (freed === undefined) continue;
      removed.push(chainId);
      bytes += freed;
    }
    for (const digest of blobs.digests())
      if (blobs.holds.count(digest) === 0) bytes += await blobs.removeUnheld(digest);
    return { layers: removed, bytes };
  }

  /** Prepares a container's directories from an image that is here. */
  async prepare(
    containerId: string,
    name: string,
  ): Promise<PreparedRootfs & { readonly configJson: Buffer }> {
    const known = this.rootfs.get(containerId);
    const { image, reference } = this.#imageFor(name, known?.imageId, known?.reference);
    const record = { containerId, imageId: image.id, reference, chainIds: image.chainIds };
    const [prepared, configJson] = await Promise.all([
      this.rootfs.prepare(record),
      this.parts.blobs.read(image.id),
    ]);
    return { ...prepared, configJson };
  }

  /** A container keeps its image, wherever the name has moved since. */
  #imageFor(
    name: string,
    heldId: Digest | undefined,
    heldReference: string | undefined,
  ): { image: ImageRecord; reference: string } {
    const held = heldId === undefined ? undefined : this.parts.catalog.get(heldId);
    if (held !== undefined && heldReference !== undefined) {
      const given = name === held.id || name === heldReference;
      if (given) return { image: held, reference: heldReference };
    }
    const { image, reference } = this.parts.catalog.find(name, 'PrepareRootfs');
    const shown = reference === undefined ? image.id : formatReference(reference);
    if (held !== undefined && heldReference === shown) return { image: held, reference: shown };
    return { image, reference: shown };
  }

  /** The configuration document and what it says of the layers. */
  async configOf(image: ImageRecord): Promise<Awaited<ReturnType<typeof readConfig>>> {
    return readConfig(this.parts.blobs, image.id, image.diffIds.length);
  }

  sizeOf(image: ImageRecord): number {
    return image.chainIds.reduce((sum, chainId) => sum + (this.parts.layers.get(chainId)?.bytes ?? 0), 0);
  }
}
