import { open } from 'node:fs/promises';
import { GantryError, asGantryError } from '@gantry/protocol';
import type { BlobIntake, BlobSource } from './blob-intake.js';
import type { BlobStore } from './blob-store.js';
import type { Digest } from './digest.js';
import type { IncomingBlob } from './incoming-blob.js';
import type { Slots } from './shared-work.js';
import type { CheckedDescriptor } from './manifest.js';
import { NativeFailure, extract, type ExtractResult, type Extraction } from './native.js';

interface UnpackJob {
  readonly blobs: BlobStore;
  readonly intake: BlobIntake;
  readonly slots: Slots;
  readonly source: BlobSource;
  readonly descriptor: CheckedDescriptor;
  readonly diffId: Digest;
  /** Empty directory that becomes the layer. */
  readonly diff: string;
  readonly signal: AbortSignal;
  readonly report: (status: 'downloading' | 'extracting', bytes: number) => void;
}

export interface UnpackedLayer extends ExtractResult {
  readonly inherit: Extraction['inherit'];
}

/**
 * Unpacks one layer while its blob is still arriving: the file is the buffer, native threads follow its end. Both digests
 * must match before anybody may use what came out.
 */
export async function unpackLayer(job: UnpackJob): Promise<UnpackedLayer> {
  const { blobs, descriptor, signal } = job;
  if (blobs.has(descriptor.digest)) {
    const file = await open(blobs.pathOf(descriptor.digest), 'r');
    try {
      return await job.slots.run(signal, () => unpackFile(job, file.fd));
    } finally {
      await file.close();
    }
  }
  const arrival = await job.intake.join(descriptor, job.source);
  const stopReporting = arrival.blob.onGrowth(() => job.report('downloading', arrival.blob.bytes));
  try {
    // A failed download must not wait for a slot to be noticed, nor hold one.
    const result = await job.slots.run(signal, () => unpackArriving(job, arrival.blob, arrival.arrived));
    signal.throwIfAborted();
    await blobs.commit(descriptor.digest, arrival.blob);
    return result;
  } finally {
    stopReporting();
    await arrival.leave();
  }
}

/** A blob that is here already. It is verified again: disks rot. */
async function unpackFile(job: UnpackJob, fd: number): Promise<UnpackedLayer> {
  const run = await startExtraction(job, fd, false);
  const onAbort = (): void => run.cancel();
  job.signal.addEventListener('abort', onAbort, { once: true });
  if (job.signal.aborted) run.cancel();
  try {
    const result = await run.result;
    checkResult(job, result);
    return { ...result, inherit: run.inherit };
  } catch (error) {
    job.signal.throwIfAborted();
    throw await explain(job, fd, error);
  } finally {
    job.signal.removeEventListener('abort', onAbort);
  }
}

async function unpackArriving(
  job: UnpackJob,
  blob: IncomingBlob,
  arrived: Promise<void>,
): Promise<UnpackedLayer> {
  job.signal.throwIfAborted();
  const run = await startExtraction(job, blob.fd, true);
  const stopFollowing = blob.onGrowth(() => {
    run.advance(blob.bytes);
    if (blob.ended) run.end();
  });
  let downloadError: Error | undefined;
  arrived.catch((error: unknown) => {
    downloadError = asGantryError(error, 'unpackLayer');
    run.cancel();
  });
  const onAbort = (): void => run.cancel();
  job.signal.addEventListener('abort', onAbort, { once: true });
  if (job.signal.aborted) run.cancel();
  try {
    const result = await run.result;
    checkResult(job, result);
    return { ...result, inherit: run.inherit };
  } catch (error) {
    job.signal.throwIfAborted();
    if (downloadError !== undefined) throw downloadError;
    if (error instanceof NativeFailure && error.kind !== 'system')
      await Promise.race([arrived, aborted(job.signal)]);
    throw await explain(job, blob.fd, error);
  } finally {
    stopFollowing();
    job.signal.removeEventListener('abort', onAbort);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(asGantryError(signal.reason, 'unpackLayer')), {
      once: true,
    }),
  );
}

async function startExtraction(
  job: UnpackJob,
  blobFd: number,
  growing: boolean,
): Promise<ReturnType<typeof extract>> {
  const root = await open(job.diff, 'r');
  try {
    const onProgress = (bytes: number): void => job.report('extracting', bytes);
    return extract({ blobFd, growing, rootFd: root.fd, tree: 'layer', onProgress });
  } finally {
    await root.close();
  }
}

function checkResult({ descriptor, diffId, source }: UnpackJob, result: ExtractResult): void {
  checkBlob(descriptor, source, result);
  if (result.diffId === diffId) return;
  throw damaged(
    descriptor,
    `layer ${descriptor.digest} from ${source.name} unpacks to ${result.diffId}, but its image says ${diffId}`,
  );
}

function checkBlob(descriptor: CheckedDescriptor, source: BlobSource, result: ExtractResult): void {
  if (result.blobBytes !== descriptor.size)
    throw damaged(
      descriptor,
      `blob ${descriptor.digest} from ${source.name} has ${result.blobBytes} bytes, but its manifest says ${descriptor.size}`,
    );
  if (result.blobDigest !== descriptor.digest)
    throw damaged(
      descriptor,
      `blob ${descriptor.digest} from ${source.name} is not what it claims to be: it hashes to ${result.blobDigest}`,
    );
}

function damaged(descriptor: CheckedDescriptor, message: string): GantryError {
  return new GantryError({ code: 'data_loss', operation: 'unpackLayer', object: descriptor.digest, message });
}

/** Why a layer could not be unpacked. That its blob is not the one wanted explains more than the damage that this did. */
async function explain(job: UnpackJob, blobFd: number, error: unknown): Promise<Error> {
  if (!(error instanceof NativeFailure)) return asGantryError(error, 'unpackLayer');
  if (error.kind === 'system' || error.kind === 'cancelled') return error;
  const { descriptor, source } = job;
  try {
    checkBlob(
      descriptor,
      source,
      await extract({ blobFd, growing: false, rootFd: undefined, tree: 'layer' }).result,
    );
  } catch (mismatch) {
    return asGantryError(mismatch, 'unpackLayer');
  }
  const hostile = error.kind === 'hostile';
  return new GantryError({
    code: hostile ? 'invalid_argument' : 'data_loss',
    operation: 'unpackLayer',
    object: descriptor.digest,
    message: `layer ${descriptor.digest} from ${source.name} is ${hostile ? 'refused' : 'damaged'}: ${error.message}`,
    cause: error,
  });
}
