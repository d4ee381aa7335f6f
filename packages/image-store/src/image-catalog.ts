import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GantryError } from '@gantry/protocol';
import { hexOf, isDigest, type Digest } from './digest.js';
import { KeyedQueue } from '@gantry/bus';
import { formatReference, readReference, repositoryName, type Reference } from './reference.js';
import { makePrivateDirectory, syncDirectory, writeDurably } from './state-files.js';
import { isMissing, storageError } from './storage-error.js';

/** A name that an image has here. */
export interface ImageName {
  /** Normalised: `docker.io/library/busybox:1.36`, or `...@sha256:...` when it was asked for by digest. */
  readonly reference: string;
  /** Digest of the manifest or index that the name stood for; absent when the name was only given here. */
  readonly manifestDigest?: Digest | undefined;
  /** When the image got it, Unix milliseconds: of two images that claim a name, the later has it. */
  readonly since: number;
}

/** What is known of an image; the documents themselves are blobs. */
export interface ImageRecord {
  /** Digest of the configuration. */
  readonly id: Digest;
  readonly platform: string;
  readonly createdUnixMs: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Bottom first, as all lists of layers here. */
  readonly diffIds: readonly Digest[];
  readonly chainIds: readonly Digest[];
  /** Manifests, configuration and compressed layers, as far as they were fetched. */
  readonly blobs: readonly Digest[];
  readonly names: readonly ImageName[];
}

const idPrefixPattern = /^(?:sha256:)?([0-9a-f]{4,64})$/;

/** The images of this node: memory is what counts, `images/<hex>.json` is how it survives. */
export class ImageCatalog {
  readonly #directory: string;
  readonly #images = new Map<Digest, ImageRecord>();
  readonly #byReference = new Map<string, Digest>();
  readonly #queue = new KeyedQueue();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(directory: string): Promise<ImageCatalog> {
    const catalog = new ImageCatalog(directory);
    await makePrivateDirectory(directory);
    const records: ImageRecord[] = [];
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      const record =
        name.endsWith('.json') && !name.startsWith('.')
          ? parseRecord(await readFile(path, 'utf8'))
          : undefined;
      if (record === undefined || `${hexOf(record.id)}.json` !== name)
        await rm(path, { recursive: true, force: true });
      else records.push(record);
    }
    // A name may stand in two records when a kill came between them: the later claim wins.
    const claims = records.flatMap((record) => record.names.map((name) => ({ name, id: record.id })));
    claims.sort((a, b) => a.name.since - b.name.since);
    for (const { name, id } of claims) catalog.#byReference.set(name.reference, id);
    for (const record of records) {
      const names = record.names.filter(({ reference }) => catalog.#byReference.get(reference) === record.id);
      catalog.#images.set(record.id, Object.freeze({ ...record, names: Object.freeze(names) }));
    }
    return catalog;
  }

  get(id: Digest): ImageRecord | undefined {
    return this.#images.get(id);
  }

  /** Sorted by id. */
  all(): readonly ImageRecord[] {
    return [...this.#images.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  byReference(reference: Reference): ImageRecord | undefined {
    const id = this.#byReference.get(formatReference(reference));
    if (id !== undefined) return this.#images.get(id);
    if (reference.digest === undefined) return undefined;
    // Pulled by tag, asked for by the digest that the tag stood for.
    const prefix = `${repositoryName(reference)}:`;
    return this.all().find(({ names }) =>
      names.some((name) => name.manifestDigest === reference.digest && name.reference.startsWith(prefix)),
    );
  }

  /** Finds by reference, full id or unique prefix of an id. Throws `not_found`, or `invalid_argument` when the prefix fits several. */
  find(
    name: string,
    operation: string,
  ): { readonly image: ImageRecord; readonly reference: Reference | undefined } {
    if (isDigest(name)) {
      const image = this.#images.get(name);
      if (image !== undefined) return { image, reference: undefined };
    }
    const reference = readReference(name);
    if (!('reason' in reference)) {
      const image = this.byReference(reference);
      if (image !== undefined) return { image, reference };
    }
    const prefix = idPrefixPattern.exec(name)?.[1];
    const matches = prefix === undefined ? [] : this.all().filter(({ id }) => hexOf(id).startsWith(prefix));
    const [image] = matches;
    if (matches.length > 1)
      throw new GantryError({
        code: 'invalid_argument',
        operation,
        object: name,
        message: `${name} is the beginning of ${matches.length} image ids: give more digits`,
      });
    if (image !== undefined) return { image, reference: undefined };
    const reason = 'reason' in reference ? `: ${reference.reason}` : '';
    throw new GantryError({
      code: 'not_found',
      operation,
      object: name,
      message: `image ${name} is not on this node${reason}`,
    });
  }

  /** Adds an image, or names to the one that is here. Names move from the images that had them. */
  async add(record: ImageRecord): Promise<ImageRecord> {
    const before = this.#images.get(record.id);
    const taken = record.names.map(({ reference }) => reference);
    const kept = (before?.names ?? []).filter(({ reference }) => !taken.includes(reference));
    const blobs = [...new Set([...(before?.blobs ?? []), ...record.blobs])];
    const added: ImageRecord = Object.freeze({
      ...record,
      blobs: Object.freeze(blobs),
      names: Object.freeze([...kept, ...record.names]),
    });
    const losers = new Set(
      taken
        .map((reference) => this.#byReference.get(reference))
        .filter((id) => id !== undefined && id !== record.id),
    );
    this.#images.set(record.id, added);
    for (const reference of taken) this.#byReference.set(reference, record.id);
    for (const id of losers) if (id !== undefined) this.#dropNames(id, taken);
    try {
      await this.#persist(record.id);
    } catch (error) {
      // Not kept is not here: the names that moved stay lost, as after a removal.
      for (const reference of taken) this.#byReference.delete(reference);
      if (before === undefined) this.#images.delete(record.id);
      else this.#images.set(record.id, Object.freeze({ ...before, names: Object.freeze(kept) }));
      throw error;
    }
    for (const id of losers) if (id !== undefined) await this.#persist(id);
    return this.#images.get(record.id) ?? added;
  }

  /** Takes names away; the image stays. */
  async untag(id: Digest, references: readonly string[]): Promise<void> {
    for (const reference of references)
      if (this.#byReference.get(reference) === id) this.#byReference.delete(reference);
    this.#dropNames(id, references);
    await this.#persist(id);
  }

  /** Forgets the image and its names. In memory this happens at once. */
  async remove(id: Digest): Promise<void> {
    for (const { reference } of this.#images.get(id)?.names ?? []) this.#byReference.delete(reference);
    this.#images.delete(id);
    await this.#persist(id);
  }

  #dropNames(id: Digest, references: readonly string[]): void {
    const record = this.#images.get(id);
    if (record === undefined) return;
    const names = record.names.filter(({ reference }) => !references.includes(reference));
    this.#images.set(id, Object.freeze({ ...record, names: Object.freeze(names) }));
  }

  /** Writes what memory says when its turn comes, so that the last write of several is the truth. */
  #persist(id: Digest): Promise<void> {
    return this.#queue.run(id, async () => {
      const path = join(this.#directory, `${hexOf(id)}.json`);
      const record = this.#images.get(id);
      try {
        if (record !== undefined) return await writeDurably(path, JSON.stringify(record, undefined, 1));
        await rm(path, { force: true });
        await syncDirectory(this.#directory);
      } catch (error) {
        if (!isMissing(error))
          throw storageError(error, 'writeImage', this.#directory, `keeping the record of image ${id}`);
      }
    });
  }
}

/** Undefined when the file is not one of ours any more. */
function parseRecord(text: string): ImageRecord | undefined {
  let value: Partial<ImageRecord>;
  try {
    value = JSON.parse(text) as Partial<ImageRecord>;
  } catch {
    return undefined;
  }
  const lists = [value.diffIds, value.chainIds, value.blobs];
  if (!isDigest(value.id) || !lists.every((list) => Array.isArray(list) && list.every(isDigest)))
    return undefined;
  if (!Array.isArray(value.names) || typeof value.platform !== 'string') return undefined;
  return Object.freeze({
    ...(value as ImageRecord),
    createdUnixMs: value.createdUnixMs ?? 0,
    labels: value.labels ?? {},
  });
}
