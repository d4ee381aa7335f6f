import { GantryError } from '@gantry/protocol';
import {
  MEDIA_TYPES,
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  type Platform,
} from '@gantry/oci';
import { parseDigest, type Digest } from './digest.js';

/** Larger documents are refused unread, bytes. */
export const maxManifestBytes = 4 * 1024 * 1024;
/** The configuration must fit into one message of the bus beside its labels, bytes. */
export const maxConfigBytes = 224 * 1024;
const maxLayers = 4_096;

/** A descriptor whose digest and size have been checked for form. */
export interface CheckedDescriptor extends Descriptor {
  readonly digest: Digest;
}

export interface CheckedManifest {
  readonly config: CheckedDescriptor;
  /** Bottom first. */
  readonly layers: readonly CheckedDescriptor[];
}

export type ManifestDocument =
  | { readonly kind: 'index'; readonly manifests: readonly CheckedDescriptor[] }
  | { readonly kind: 'manifest'; readonly manifest: CheckedManifest };

/** What an image's configuration tells the store. */
export interface CheckedConfig {
  readonly diffIds: readonly Digest[];
  readonly platform: Platform;
  /** 0 when it has none. */
  readonly createdUnixMs: number;
  readonly labels: Readonly<Record<string, string>>;
  /** The command that made each layer; empty where the history does not tell. */
  readonly createdBy: readonly string[];
}

const indexTypes: readonly string[] = [MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerIndex];
const manifestTypes: readonly string[] = [MEDIA_TYPES.ociManifest, MEDIA_TYPES.dockerManifest];
const configTypes: readonly string[] = [MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig];
const layerTypes: readonly string[] = [
  MEDIA_TYPES.ociLayerTar,
  MEDIA_TYPES.ociLayerGzip,
  MEDIA_TYPES.ociLayerZstd,
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  MEDIA_TYPES.dockerLayerGzip,
  'application/vnd.docker.image.rootfs.diff.tar',
  'application/vnd.docker.image.rootfs.diff.tar.zstd',
];

/** What to ask a registry for. */
export const acceptedManifestTypes = [...indexTypes, ...manifestTypes].join(', ');

function refuse(what: string, reason: string): never {
  throw new GantryError({
    code: 'invalid_argument',
    operation: 'parseManifest',
    object: what,
    message: `${what} ${reason}`,
  });
}

function parseObject(bytes: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    refuse(what, 'is not JSON');
  }
  if (!isObject(value)) refuse(what, 'is not a JSON object');
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkDescriptor(value: unknown, what: string): CheckedDescriptor {
  if (!isObject(value)) refuse(what, 'holds a descriptor that is not an object');
  const { mediaType, size } = value;
  if (typeof mediaType !== 'string') refuse(what, 'holds a descriptor without a media type');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    refuse(what, 'holds a descriptor without a size');
  const platform = isObject(value['platform']) ? checkPlatform(value['platform']) : undefined;
  return Object.freeze({
    mediaType,
    size,
    digest: parseDigest(value['digest'], what),
    ...(platform === undefined ? {} : { platform }),
    ...(isObject(value['annotations']) ? { annotations: stringsOf(value['annotations']) } : {}),
  });
}

function checkPlatform(value: Readonly<Record<string, unknown>>): Platform {
  const variant = value['variant'];
  return Object.freeze({
    os: typeof value['os'] === 'string' ? value['os'] : '',
    architecture: typeof value['architecture'] === 'string' ? value['architecture'] : '',
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
  });
}

function stringsOf(value: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.freeze(
    Object.fromEntries(
      Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
  );
}

/** Reads a manifest or an index. `mediaType` is what the registry or the descriptor said; the document itself goes before. */
export function parseManifest(bytes: Uint8Array, mediaType: string, what: string): ManifestDocument {
  const document = parseObject(bytes, what);
  if (document['schemaVersion'] === 1)
    refuse(
      what,
      'is a docker schema 1 manifest, which is not supported: push the image again with a newer tool',
    );
  const stated = typeof document['mediaType'] === 'string' ? document['mediaType'] : mediaType;
  const isIndex =
    indexTypes.includes(stated) || (!manifestTypes.includes(stated) && Array.isArray(document['manifests']));
  if (isIndex) {
    const { manifests } = document as unknown as Partial<ImageIndex>;
    if (!Array.isArray(manifests)) refuse(what, 'is an index without manifests');
    return { kind: 'index', manifests: manifests.map((entry) => checkDescriptor(entry, what)) };
  }
  const known =
    manifestTypes.includes(stated) ||
    ((stated === '' || stated === 'application/json') && Array.isArray(document['layers']));
  if (!known) refuse(what, `has the media type ${JSON.stringify(stated)}, which is not an image's`);
  return { kind: 'manifest', manifest: checkManifest(document as unknown as Partial<ImageManifest>, what) };
}

function checkManifest(document: Partial<ImageManifest>, what: string): CheckedManifest {
  const config = checkDescriptor(document.config, what);
  if (!configTypes.includes(config.mediaType))
    refuse(
      what,
      `is an artifact of type ${JSON.stringify(document.artifactType ?? config.mediaType)}, not an image`,
    );
  if (config.size > maxConfigBytes)
    refuse(what, `has a configuration of ${config.size} bytes, more than the ${maxConfigBytes} supported`);
  if (!Array.isArray(document.layers)) refuse(what, 'has no layers');
  if (document.layers.length > maxLayers)
    refuse(what, `has ${document.layers.length} layers, more than the ${maxLayers} supported`);
  const layers = document.layers.map((layer) => checkDescriptor(layer, what));
  for (const layer of layers)
    if (!layerTypes.includes(layer.mediaType))
      refuse(
        what,
        `has a layer of the media type ${JSON.stringify(layer.mediaType)}, which is not supported`,
      );
  return Object.freeze({ config, layers: Object.freeze(layers) });
}

/** Reads an image's configuration. Throws when it does not fit `layerCount` layers. */
export function parseConfig(bytes: Uint8Array, layerCount: number, what: string): CheckedConfig {
  const document = parseObject(bytes, what) as unknown as ImageConfig;
  const diffIds = document.rootfs?.diff_ids ?? [];
  if (!Array.isArray(diffIds)) refuse(what, 'has no list of layers');
  if (diffIds.length !== layerCount)
    refuse(what, `names ${diffIds.length} layers where its manifest has ${layerCount}`);
  const created = Date.parse(document.created ?? '');
  const labels: unknown = document.config?.Labels;
  return Object.freeze({
    diffIds: Object.freeze(diffIds.map((diffId) => parseDigest(diffId, what))),
    platform: checkPlatform(document as unknown as Readonly<Record<string, unknown>>),
    createdUnixMs: Number.isNaN(created) ? 0 : created,
    labels: isObject(labels) ? stringsOf(labels) : Object.freeze({}),
    createdBy: Object.freeze(commandsOf(document, layerCount)),
  });
}

function commandsOf({ history }: ImageConfig, layerCount: number): string[] {
  const entries: unknown[] = Array.isArray(history) ? history : [];
  const made = entries
    .filter((entry) => isObject(entry))
    .filter((entry) => entry['empty_layer'] !== true)
    .map((entry) => (typeof entry['created_by'] === 'string' ? entry['created_by'] : ''));
  return Array.from({ length: layerCount }, (_, index) =>
    made.length === layerCount ? (made[index] ?? '') : '',
  );
}
