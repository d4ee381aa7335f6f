import { createHash } from 'node:crypto';
import { createWriteStream, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { packTar, sha256, type TarEntry } from '@gantry/demo';

export interface LargeImage {
  /** An OCI image layout. */
  readonly directory: string;
  readonly files: number;
  readonly unpackedBytes: number;
  readonly compressedBytes: number;
}

interface Layer {
  readonly digest: string;
  readonly diffId: string;
  readonly compressedBytes: number;
  readonly unpackedBytes: number;
}

const layerCount = 4;
const filesPerDirectory = 28;

/** The same numbers from the same seed on every machine (xorshift32): values in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Bytes that gzip makes about 2.8 times smaller, as it does an ordinary distribution's files: prose and machine code. */
function createPool(random: () => number, bytes: number): Buffer {
  const letters = 'etaoinshrdlucmfwypvbgkjqxz_0123456789';
  const words = Array.from({ length: 1_200 }, () =>
    Array.from(
      { length: 2 + Math.floor(random() * 9) },
      () => letters[Math.floor(random() ** 2 * letters.length)],
    ).join(''),
  );
  const pool = Buffer.alloc(bytes);
  for (let at = 0; at < bytes;) {
    if (random() < 0.0006) {
      const end = Math.min(bytes, at + 512);
      for (; at < end; at += 1) pool[at] = Math.floor(random() * 256);
    } else {
      at +=
        pool.write(
          `${words[Math.floor(random() ** 4 * words.length)]}${random() < 0.1 ? '\n' : ' '}`,
          at,
          'latin1',
        ) || bytes;
    }
  }
  return pool;
}

/** Sizes as in a distribution: most files small, most bytes in the large ones. */
function drawSize(random: () => number): number {
  const kind = random();
  const [least, most] =
    kind < 0.6
      ? [100, 3_000]
      : kind < 0.9
        ? [3_000, 16_000]
        : kind < 0.99
          ? [16_000, 85_000]
          : [85_000, 760_000];
  return Math.floor(least + random() * (most - least));
}

function* drawFiles(layer: number, count: number): Generator<TarEntry[]> {
  const random = createRandom(0x9e3779b9 + layer);
  const pool = createPool(random, 8 * 2 ** 20);
  for (let first = 0; first < count; first += filesPerDirectory) {
    const directory = `usr/share/layer${layer}/part${Math.floor(first / filesPerDirectory / 32)}/directory${first / filesPerDirectory}`;
    const entries: TarEntry[] = [{ path: `${directory}/`, kind: 'directory' }];
    for (let number = first; number < Math.min(count, first + filesPerDirectory); number += 1) {
      const size = drawSize(random);
      const start = Math.floor(random() * (pool.length - size));
      entries.push({
        path: `${directory}/file${number}`,
        kind: 'file',
        content: pool.subarray(start, start + size),
        mode: 0o644,
      });
    }
    yield entries;
  }
}

/** Tar bytes: each batch less its end mark, and one end mark for all. */
function* packBatches(batches: Iterable<readonly TarEntry[]>): Generator<Buffer> {
  const endMark = 1024;
  for (const batch of batches) {
    const packed = packTar(batch);
    yield packed.subarray(0, packed.length - endMark);
  }
  yield Buffer.alloc(endMark);
}

function countAndHash(): { readonly through: Transform; read(): { digest: string; bytes: number } } {
  const hash = createHash('sha256');
  let bytes = 0;
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  return { through, read: () => ({ digest: hash.digest('hex'), bytes }) };
}

async function writeLayer(blobs: string, number: number, files: number): Promise<Layer> {
  const unpacked = countAndHash();
  const compressed = countAndHash();
  const temporary = join(blobs, `layer${number}`);
  const source = Readable.from(packBatches(drawFiles(number, files)));
  await pipeline(
    source,
    unpacked.through,
    createGzip({ level: 6 }),
    compressed.through,
    createWriteStream(temporary),
  );
  const { digest, bytes } = compressed.read();
  const plain = unpacked.read();
  renameSync(temporary, join(blobs, digest));
  return { digest, diffId: plain.digest, compressedBytes: bytes, unpackedBytes: plain.bytes };
}

/** Makes the image that pulls are measured with. `files` in all; 56,000 give about 740 MB, 260 MB compressed. */
export async function makeLargeImage(directory: string, files: number): Promise<LargeImage> {
  const blobs = join(directory, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const numbers = Array.from({ length: layerCount }, (_, index) => index);
  const layers = await Promise.all(
    numbers.map((number) => writeLayer(blobs, number, Math.ceil(files / layerCount))),
  );
  const writeBlob = (value: object): { digest: string; size: number } => {
    const content = Buffer.from(JSON.stringify(value));
    const digest = sha256(content);
    writeFileSync(join(blobs, digest), content);
    return { digest: `sha256:${digest}`, size: content.length };
  };
  const config = writeBlob({
    created: '2024-01-01T00:00:00Z',
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Cmd: ['true'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
    history: layers.map((_layer, index) => ({ created_by: `synthetic layer ${index}` })),
  });
  const manifest = writeBlob({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: layers.map(({ digest, compressedBytes }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: `sha256:${digest}`,
      size: compressedBytes,
    })),
  });
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          ...manifest,
          annotations: { 'org.opencontainers.image.ref.name': 'latest' },
        },
      ],
    }),
  );
  const sum = (pick: (layer: Layer) => number): number =>
    layers.reduce((total, layer) => total + pick(layer), 0);
  return {
    directory,
    files,
    unpackedBytes: sum(({ unpackedBytes }) => unpackedBytes),
    compressedBytes: sum(({ compressedBytes }) => compressedBytes),
  };
}
