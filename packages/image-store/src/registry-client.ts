import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError } from '@gantry/protocol';
import type { BlobSource } from './blob-intake.js';
import { digestOf, type Digest } from './digest.js';
import { acceptedManifestTypes, maxManifestBytes, type CheckedDescriptor } from './manifest.js';
import { formatReference, repositoryName, type Reference } from './reference.js';
import { answerChallenge, parseChallenge, type Credentials } from './registry-auth.js';
import { RegistryHttp, readBody, unreachable, type HttpAnswer } from './registry-http.js';

/** Written to disk together, bytes. */
const writeBatchBytes = 1024 * 1024;
const maxResumes = 5;

export interface ManifestAnswer {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** True for hosts that are this machine. */
export function isLoopback(registry: string): boolean {
  const host = registry.startsWith('[')
    ? registry.slice(1, registry.indexOf(']'))
    : registry.replace(/:\d+$/, '');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** The part of a registry that holds one repository, by the OCI distribution specification. */
export class RegistryClient implements BlobSource {
  readonly name: string;
  readonly #reference: Reference;
  readonly #base: string;
  readonly #http: RegistryHttp;
  readonly #credentials: Credentials | undefined;
  #authorization: Promise<string | undefined> | undefined;

  constructor(
    reference: Reference,
    options: {
      readonly credentials: Credentials | undefined;
      readonly insecureRegistries: readonly string[];
    },
  ) {
    const { registry, repository } = reference;
    const plain = isLoopback(registry) || options.insecureRegistries.includes(registry);
    const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
    this.name = `registry ${registry}`;
    this.#reference = reference;
    this.#base = `${plain ? 'http' : 'https'}://${host}/v2/${repository}/`;
    this.#http = new RegistryHttp(registry);
    this.#credentials = options.credentials;
  }

  close(): void {
    this.#http.close();
  }

  /** The manifest or index that the reference names, or one of the repository's by digest. */
  async getManifest(digest: Digest | undefined, signal: AbortSignal): Promise<ManifestAnswer> {
    const wanted = digest ?? this.#reference.digest;
    const answer = await this.#get(
      `manifests/${wanted ?? this.#reference.tag ?? 'latest'}`,
      { accept: acceptedManifestTypes },
      signal,
    );
    const shown = formatReference(this.#reference);
    if (answer.status !== 200) throw await this.#refusal(answer, `image ${shown}`);
    const bytes = await this.#readSmall(answer, maxManifestBytes, `the manifest of ${shown}`);
    const actual = digestOf(bytes);
    if (wanted !== undefined && actual !== wanted)
      throw new GantryError({
        code: 'data_loss',
        operation: 'PullImage',
        object: shown,
        message: `manifest ${wanted} from ${this.name} is not what it claims to be: it hashes to ${actual}`,
      });
    return {
      bytes,
      mediaType: (answer.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '',
      digest: actual,
    };
  }

  /** A small blob, verified. */
  async getBlob(descriptor: CheckedDescriptor, signal: AbortSignal): Promise<Buffer> {
    const what = `blob ${descriptor.digest}`;
    const answer = await this.#get(`blobs/${descriptor.digest}`, {}, signal);
    if (answer.status !== 200) throw await this.#refusal(answer, what);
    const bytes = await this.#readSmall(answer, descriptor.size, what);
    const actual = digestOf(bytes);
    if (bytes.length === descriptor.size && actual === descriptor.digest) return bytes;
    throw new GantryError({
      code: 'data_loss',
      operation: 'PullImage',
      object: descriptor.digest,
      message: `${what} from ${this.name} is not what it claims to be: it has ${bytes.length} bytes that hash to ${actual}`,
    });
  }

  /** Streams a blob; a connection that breaks is taken up again where it broke. */
  async readBlob(
    descriptor: CheckedDescriptor,
    take: (chunks: readonly Uint8Array[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    let received = 0;
    for (let resumes = 0; received < descriptor.size || resumes === 0; resumes++) {
      const range = received === 0 ? {} : { range: `bytes=${received}-` };
      const answer = await this.#get(`blobs/${descriptor.digest}`, range, signal);
      if (answer.status !== 200 && answer.status !== 206)
        throw await this.#refusal(answer, `blob ${descriptor.digest}`);
      // A server that ignores ranges starts again.
      let skip = answer.status === 200 ? received : 0;
      try {
        for await (const batch of batches(answer.body)) {
          const kept = skip === 0 ? batch : dropFirst(batch, skip);
          skip = Math.max(0, skip - lengthOf(batch));
          if (kept.length === 0) continue;
          await take(kept);
          received += lengthOf(kept);
        }
      } catch (error) {
        answer.body.destroy();
        signal.throwIfAborted();
        if (error instanceof GantryError) throw error;
        if (resumes >= maxResumes) throw unreachable(this.#reference.registry, 'PullImage', error);
        await sleep(100 * 2 ** resumes, undefined, { signal });
        continue;
      }
      if (received < descriptor.size)
        throw new GantryError({
          code: 'data_loss',
          operation: 'PullImage',
          object: descriptor.digest,
          message: `blob ${descriptor.digest} from ${this.name} ends after ${received} of ${descriptor.size} bytes`,
        });
    }
  }

  async #readSmall(answer: HttpAnswer, maxBytes: number, what: string): Promise<Buffer> {
    try {
      return await readBody(answer, maxBytes, what);
    } catch (error) {
      throw error instanceof GantryError ? error : unreachable(this.#reference.registry, 'PullImage', error);
    }
  }

  async #get(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const url = new URL(path, this.#base);
    for (let attempt = 1; ; attempt++) {
      const known = this.#authorization;
      const authorization = await known;
      const answer = await this.#http.get(
        url,
        { ...headers, ...(authorization === undefined ? {} : { authorization }) },
        signal,
      );
      const challenge =
        answer.status === 401 ? parseChallenge(String(answer.headers['www-authenticate'] ?? '')) : undefined;
      if (challenge === undefined || attempt > 2) return answer;
      answer.body.resume();
      // Of several requests that were refused together, the first asks for a token, the others wait for it.
      if (this.#authorization === known) {
        this.#authorization = answerChallenge(challenge, {
          http: this.#http,
          registry: this.#reference.registry,
          repository: this.#reference.repository,
          credentials: this.#credentials,
          signal,
        });
        this.#authorization.catch(() => (this.#authorization = undefined));
      }
    }
  }

  async #refusal(answer: HttpAnswer, what: string): Promise<GantryError> {
    answer.body.resume();
    const { registry } = this.#reference;
    const object = repositoryName(this.#reference);
    if (answer.status === 404)
      return new GantryError({
        code: 'not_found',
        operation: 'PullImage',
        object,
        message: `${what} is not in registry ${registry}`,
      });
    if (answer.status === 401 || answer.status === 403) {
      const hint =
        this.#credentials === undefined
          ? 'it does not exist or needs a user name and password'
          : 'the user name or password is wrong, or may not';
      return new GantryError({
        code: 'permission_denied',
        operation: 'PullImage',
        object,
        message: `registry ${registry} refuses ${what}: ${hint}`,
      });
    }
    return new GantryError({
      code: 'unavailable',
      operation: 'PullImage',
      object,
      message: `registry ${registry} answers HTTP ${answer.status} for ${what}`,
    });
  }
}

/** Collects a body's pieces, so that the disk is asked seldom. What came before a failure comes before it here too. */
async function* batches(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let batch: Buffer[] = [];
  let length = 0;
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of body) {
      batch.push(chunk);
      length += chunk.length;
      if (length < writeBatchBytes) continue;
      yield batch;
      [batch, length] = [[], 0];
    }
  } catch (error) {
    failure = { error };
  }
  if (length > 0) yield batch;
  if (failure !== undefined) throw failure.error;
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function dropFirst(chunks: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  return chunks.flatMap((chunk) => {
    const drop = Math.min(skip, chunk.length);
    skip -= drop;
    return drop === chunk.length ? [] : [chunk.subarray(drop)];
  });
}
