import { createHash } from 'node:crypto';
import { GantryError } from '@gantry/protocol';

/** `sha256:<64 hex>`: the one algorithm that images in the field use. */
export type Digest = `sha256:${string}`;

const digestPattern = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && digestPattern.test(text);
}

/** Checks a digest that came from outside; `where` tells people whose it is. */
export function parseDigest(text: unknown, where: string): Digest {
  if (isDigest(text)) return text;
  const shown = typeof text === 'string' ? JSON.stringify(text.slice(0, 100)) : typeof text;
  throw new GantryError({
    code: 'invalid_argument',
    operation: 'parseDigest',
    object: where,
    message: `${where} holds ${shown}, which is not a sha256 digest`,
  });
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The hexadecimal part, safe as a file name. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** Enough of a digest for a message. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

/**
 * Names each stack of layers by what it is made of, bottom first.
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
 */
export function chainIdsOf(diffIds: readonly Digest[]): readonly Digest[] {
  const chains: Digest[] = [];
  for (const diffId of diffIds) {
    const parent = chains.at(-1);
    chains.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chains;
}
