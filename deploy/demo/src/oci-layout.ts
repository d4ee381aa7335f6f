import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { packTar, type TarEntry } from './tar.js';

/** The part of an image configuration that containers take over (OCI image-spec, config.md). */
export interface ImageDefaults {
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  /** Docker's extension; nanoseconds. */
  readonly Healthcheck?: {
    readonly Test: readonly string[];
    readonly Interval?: number;
    readonly Retries?: number;
  };
}

export interface ImageSource {
  /** As `gantry images` shall show it, for instance "demo.gantry/site:1". */
  readonly reference: string;
  /** Bottom first. */
  readonly layers: readonly (readonly TarEntry[])[];
  readonly defaults: ImageDefaults;
  /** gzip when absent. */
  readonly compression?: keyof typeof compressions;
}

/** Suffix of the layer's media type, and how it is made. */
const compressions = {
  gzip: { suffix: '+gzip', compress: (archive: Buffer) => gzipSync(archive, { level: 1 }) },
  zstd: { suffix: '+zstd', compress: (archive: Buffer) => zstdCompressSync(archive) },
  none: { suffix: '', compress: (archive: Buffer) => archive },
} as const;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Files of an OCI image layout by their path in it: blobs under their real digests, index.json, oci-layout. */
export function buildLayout(images: readonly ImageSource[]): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const addBlob = (mediaType: string, content: Buffer): Descriptor => {
    const digest = sha256(content);
    files.set(`blobs/sha256/${digest}`, content);
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  const manifests = images.map(({ reference, layers, defaults, compression = 'gzip' }) => {
    const { suffix, compress } = compressions[compression];
    const archives = layers.map(packTar);
    const config = addBlob(
      'application/vnd.oci.image.config.v1+json',
      json({
        created: '2024-01-01T00:00:00Z',
        architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
        os: 'linux',
        config: defaults,
        rootfs: { type: 'layers', diff_ids: archives.map((archive) => `sha256:${sha256(archive)}`) },
        history: archives.map((_archive, index) => ({ created_by: `layer ${index + 1} of ${reference}` })),
      }),
    );
    const manifest = addBlob(
      'application/vnd.oci.image.manifest.v1+json',
      json({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config,
        layers: archives.map((archive) =>
          addBlob(`application/vnd.oci.image.layer.v1.tar${suffix}`, compress(archive)),
        ),
      }),
    );
    return { ...manifest, annotations: { 'org.opencontainers.image.ref.name': reference } };
  });
  files.set('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  files.set(
    'index.json',
    json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }),
  );
  return files;
}

/** Writes the layout as a directory. */
export function writeLayout(directory: string, images: readonly ImageSource[]): void {
  for (const [path, content] of buildLayout(images)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
}

/** Writes the layout as one tar file: an OCI archive. */
export function writeArchive(file: string, images: readonly ImageSource[]): void {
  const entries: TarEntry[] = [...buildLayout(images)].map(([path, content]) => ({
    path,
    kind: 'file',
    content,
  }));
  writeFileSync(file, packTar(entries));
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
