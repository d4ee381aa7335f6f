import { mkdir, open, realpath, rm, type FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GantryError, type common } from '@gantry/protocol';
import type { Descriptor } from '@gantry/oci';
import { assembleImage, type AssemblyOptions, type StoreParts } from './assemble.js';
import { readDockerArchive } from './docker-archive.js';
import { shortDigest, type Digest } from './digest.js';
import type { ImageRecord } from './image-catalog.js';
import { LayoutSource } from './layout-source.js';
import type { LoadableImage } from './loadable-image.js';
import {
  maxConfigBytes,
  maxManifestBytes,
  parseConfig,
  parseManifest,
  type CheckedDescriptor,
} from './manifest.js';
import { NativeFailure, extract } from './native.js';
import { choosePlatform, formatPlatform, hostPlatform, matchesPlatform } from './platform.js';
import { noSuchPlatform } from './pull.js';
import { formatReference, readReference } from './reference.js';
import { removePath, temporaryName } from './state-files.js';
import { isMissing, storageError } from './storage-error.js';

export interface LoadOptions extends AssemblyOptions {
  readonly source: common.KernelHandle;
  readonly removeSource: boolean;
  /** Where archives are opened out, on the file system of the blobs. */
  readonly workDirectory: string;
  readonly onImage: (image: ImageRecord) => void;
}

/** Loads all images of an OCI layout directory, an OCI archive or a docker archive. */
export async function loadImages(parts: StoreParts, options: LoadOptions): Promise<void> {
  const { path } = options.source;
  const file = await openSource(options.source);
  try {
    if ((await file.stat()).isDirectory()) {
      await loadLayout(parts, new LayoutSource(path, await realpath(path), false), basename(path), options);
      return;
    }
    const opened = join(options.workDirectory, temporaryName());
    try {
      await openArchive(file, path, opened, options.signal);
      await loadLayout(parts, new LayoutSource(path, await realpath(opened), true), undefined, options);
    } finally {
      await removePath(opened);
    }
  } finally {
    await file.close();
    if (options.removeSource) await rm(path, { force: true }).catch(() => undefined);
  }
}

async function openSource({ path, device, inode }: common.KernelHandle): Promise<FileHandle> {
  const refuse = (
    code: 'not_found' | 'invalid_argument' | 'failed_precondition',
    message: string,
    cause?: unknown,
  ): GantryError => new GantryError({ code, operation: 'LoadImage', object: path, message, cause });
  if (!path.startsWith('/'))
    throw refuse('invalid_argument', `${JSON.stringify(path)} is not an absolute path`);
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) throw refuse('not_found', `there is no file ${path}`, error);
    throw storageError(error, 'LoadImage', path, 'opening an archive');
  }
  const info = await file.stat();
  const same = inode === 0 || (info.dev === device && info.ino === inode);
  if (same && (info.isDirectory() || info.isFile())) return file;
  await file.close();
  throw same
    ? refuse('invalid_argument', `${path} is neither a file nor a directory`)
    : refuse('failed_precondition', `${path} is not the file any more that was meant`);
}

async function openArchive(
  file: FileHandle,
  path: string,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
    const root = await open(directory, 'r');
    let run;
    try {
      run = extract({ blobFd: file.fd, growing: false, rootFd: root.fd, tree: 'archive' });
    } finally {
      await root.close();
    }
    const onAbort = (): void => run.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) run.cancel();
    try {
      await run.result;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NativeFailure && error.kind !== 'system')
      throw new GantryError({
        code: error.kind === 'hostile' ? 'invalid_argument' : 'data_loss',
        operation: 'LoadImage',
        object: path,
        message: `archive ${path} is ${error.kind === 'hostile' ? 'refused' : 'damaged'}: ${error.message}`,
        cause: error,
      });
    throw storageError(error, 'LoadImage', directory, `opening archive ${path}`);
  }
}

async function loadLayout(
  parts: StoreParts,
  source: LayoutSource,
  baseName: string | undefined,
  options: LoadOptions,
): Promise<void> {
  const index = await source.readOptional('index.json', maxManifestBytes);
  const docker =
    index === undefined ? await source.readOptional('manifest.json', maxManifestBytes) : undefined;
  if (index === undefined && docker === undefined)
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'LoadImage',
      object: source.name,
      message: `${source.name} is no image archive: it holds neither index.json nor manifest.json`,
    });
  const images =
    index === undefined
      ? await readDockerArchive(source, docker as Buffer)
      : await readOciLayout(source, index, baseName);
  for (const image of images) options.onImage(await keepImage(parts, source, image, options));
}

async function keepImage(
  parts: StoreParts,
  source: LayoutSource,
  image: LoadableImage,
  options: LoadOptions,
): Promise<ImageRecord> {
  const documents = image.documents.map(({ digest }) => digest);
  parts.blobs.holds.hold(documents);
  try {
    for (const { digest, bytes } of image.documents) await parts.blobs.put(digest, bytes);
    return await assembleImage(parts, { ...image, source, documents }, options);
  } finally {
    parts.blobs.holds.release(documents);
  }
}

async function readOciLayout(
  source: LayoutSource,
  indexBytes: Uint8Array,
  baseName: string | undefined,
): Promise<LoadableImage[]> {
  const what = `index.json of ${source.name}`;
  const index = parseManifest(indexBytes, 'application/vnd.oci.image.index.v1+json', what);
  const entries = index.kind === 'index' ? index.manifests.filter((entry) => !isAttestation(entry)) : [];
  if (entries.length === 0)
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'LoadImage',
      object: source.name,
      message: `${source.name} holds no image`,
    });
  const here = hostPlatform();
  const chosen = entries.filter(({ platform }) => platform === undefined || matchesPlatform(platform, here));
  if (chosen.length === 0)
    throw noSuchPlatform(
      source.name,
      here,
      entries.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)])),
    );
  const images: LoadableImage[] = [];
  for (const entry of chosen) images.push(await readOciImage(source, entry, nameOf(entry, baseName)));
  return images;
}

/** Signatures and build records stand beside the images that they are about. */
function isAttestation({ platform, annotations }: Descriptor): boolean {
  return platform?.os === 'unknown' || annotations?.['vnd.docker.reference.type'] !== undefined;
}

async function readOciImage(
  source: LayoutSource,
  entry: CheckedDescriptor,
  reference: string | undefined,
): Promise<LoadableImage> {
  const documents: { digest: Digest; bytes: Uint8Array }[] = [];
  const read = async (descriptor: CheckedDescriptor, maxBytes: number): Promise<Buffer> => {
    const bytes = await source.readDocument(descriptor, maxBytes);
    documents.push({ digest: descriptor.digest, bytes });
    return bytes;
  };
  const what = (descriptor: CheckedDescriptor): string =>
    `manifest ${shortDigest(descriptor.digest)} of ${source.name}`;
  let document = parseManifest(await read(entry, maxManifestBytes), entry.mediaType, what(entry));
  if (document.kind === 'index') {
    const inner = choosePlatform(document.manifests, hostPlatform()) as CheckedDescriptor | undefined;
    if (inner === undefined)
      throw noSuchPlatform(
        reference ?? source.name,
        hostPlatform(),
        document.manifests.flatMap(({ platform }) =>
          platform === undefined ? [] : [formatPlatform(platform)],
        ),
      );
    document = parseManifest(await read(inner, maxManifestBytes), inner.mediaType, what(inner));
  }
  if (document.kind === 'index')
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'LoadImage',
      object: source.name,
      message: `${what(entry)} holds an index within an index, which is not supported`,
    });
  const { manifest } = document;
  const config = parseConfig(
    await read(manifest.config, maxConfigBytes),
    manifest.layers.length,
    `the configuration of ${what(entry)}`,
  );
  return {
    manifest,
    config,
    documents,
    names: reference === undefined ? [] : [{ reference, manifestDigest: entry.digest }],
  };
}

/**
 * The name that a layout gives an image. Tools write a whole reference or only a tag; a tag alone is completed by the name of
 * the layout's directory, as umoci means it.
 */
function nameOf({ annotations }: Descriptor, baseName: string | undefined): string | undefined {
  const given =
    annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
  if (given === undefined) return undefined;
  const whole = /[/:]/.test(given) ? given : baseName === undefined ? undefined : `${baseName}:${given}`;
  if (whole === undefined) return undefined;
  const reference = readReference(whole);
  return 'reason' in reference ? undefined : formatReference(reference);
}
