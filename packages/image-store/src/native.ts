import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the addon tells of a finished extraction. */
export interface ExtractResult {
  readonly blobDigest: string;
  /** Digest of the uncompressed stream; absent when nothing was unpacked. */
  readonly diffId: string;
  readonly blobBytes: number;
  readonly diffBytes: number;
  /** Content written to files, holes left out. */
  readonly writtenBytes: number;
  readonly entryCount: number;
  /** The layer hides everything below it. */
  readonly opaqueRoot: boolean;
  /** Directories that the tar left out: see {@link Extraction.inherit}. */
  readonly impliedCount: number;
}

export type NativeFailureKind = 'hostile' | 'malformed' | 'truncated' | 'system' | 'cancelled';

/** Why a native job ended early. */
export class NativeFailure extends Error {
  readonly kind: NativeFailureKind;
  /** 0 when the kernel was not the reason. */
  readonly errno: number;
  readonly path: string;

  constructor(fields: { kind: NativeFailureKind; message: string; errno: number; path: string }) {
    super(fields.message);
    this.name = 'NativeFailure';
    this.kind = fields.kind;
    this.errno = fields.errno;
    this.path = fields.path;
  }
}

export interface ExtractOptions {
  readonly blobFd: number;
  /** The blob is still being written: bytes count once they are announced with `advance`. */
  readonly growing: boolean;
  /** Directory to unpack into; undefined only reads and hashes. */
  readonly rootFd: number | undefined;
  /** `layer` keeps owners, modes, times and whiteouts; `archive` makes private files and directories only. */
  readonly tree: 'layer' | 'archive';
  readonly onProgress?: (blobBytes: number) => void;
}

export interface Extraction {
  readonly result: Promise<ExtractResult>;
  advance(bytes: number): void;
  end(): void;
  cancel(): void;
  /**
   * Gives the directories that the tar left out what the layers below, top layer first, say of them: overlay would else show
   * owners and modes that nobody wrote. To be called when the result is there.
   */
  inherit(rootFd: number, lowerFds: readonly number[]): Promise<void>;
}

export interface UpperChange {
  readonly path: string;
  readonly kind: 'A' | 'C' | 'D';
}

export interface UpperSummary {
  readonly changes: readonly UpperChange[];
  readonly changeCount: number;
  readonly bytes: number;
}

type JobEvent =
  | { readonly type: 'progress'; readonly bytes: number }
  | {
      readonly type: 'failed';
      readonly kind: NativeFailureKind;
      readonly message: string;
      readonly errno: number;
      readonly path: string;
    }
  | { readonly type: 'done' };
type JobListener = (event: JobEvent) => void;

interface Addon {
  extract(
    blobFd: number,
    growing: boolean,
    rootFd: number | null,
    archive: boolean,
    listener: JobListener,
  ): {
    advance(bytes: number): void;
    end(): void;
    cancel(): void;
    inherit(rootFd: number, lowerFds: readonly number[], listener: JobListener): void;
  };
  removeTree(directoryFd: number, name: string, listener: JobListener): void;
  summarizeUpper(upperFd: number, lowerFds: readonly number[], limit: number, listener: JobListener): void;
  syncFileSystem(fd: number, listener: JobListener): void;
}

const directory =
  process.env['GANTRY_NATIVE_DIR'] ?? fileURLToPath(new URL('../../../build/native/', import.meta.url));
const addon = createRequire(import.meta.url)(join(directory, 'image-store.node')) as Addon;

function jobOf<T>(start: (listener: JobListener) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((event) => {
      if (event.type === 'failed') reject(new NativeFailure(event));
      else resolve(event as T);
    });
  });
}

/** Unpacks a blob on native threads, hashing both sides on the way. The descriptors may be closed once this returns. */
export function extract(options: ExtractOptions): Extraction {
  const { promise, resolve, reject } = Promise.withResolvers<ExtractResult>();
  const handle = addon.extract(
    options.blobFd,
    options.growing,
    options.rootFd ?? null,
    options.tree === 'archive',
    (event) => {
      if (event.type === 'progress') options.onProgress?.(event.bytes);
      else if (event.type === 'failed') reject(new NativeFailure(event));
      else resolve(event as unknown as ExtractResult);
    },
  );
  // A short job may fail while its caller is still closing descriptors: that is not a failure nobody waits for.
  promise.catch(() => undefined);
  return {
    result: promise,
    advance: handle.advance,
    end: handle.end,
    cancel: handle.cancel,
    inherit: (rootFd, lowerFds) => jobOf<void>((listener) => handle.inherit(rootFd, lowerFds, listener)),
  };
}

/** Removes `name` below an open directory, whatever it is and however deep. Following no link; not being there is fine. */
export function removeTree(directoryFd: number, name: string): Promise<void> {
  return jobOf<void>((listener) => addon.removeTree(directoryFd, name, listener));
}

/** Tells what an overlay's upper directory changes in the layers below it, top layer first. */
export function summarizeUpper(
  upperFd: number,
  lowerFds: readonly number[],
  limit: number,
): Promise<UpperSummary> {
  return jobOf<UpperSummary>((listener) => addon.summarizeUpper(upperFd, lowerFds, limit, listener));
}

/** Returns when everything written so far to the descriptor's file system is on its disk. */
export function syncFileSystem(fd: number): Promise<void> {
  return jobOf<void>((listener) => addon.syncFileSystem(fd, listener));
}
