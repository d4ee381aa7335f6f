import { GantryError } from '@gantry/protocol';
import { isDigest, type Digest } from './digest.js';

/** An image's name, normalised as docker does. */
export interface Reference {
  /** Host and port that images are pulled from; `docker.io` for docker's own. */
  readonly registry: string;
  /** `library/busybox` */
  readonly repository: string;
  /** Absent only when there is a digest. */
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

const defaultRegistry = 'docker.io';
const domainPart = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const registryPattern = new RegExp(
  `^(?:${domainPart}(?:\\.${domainPart})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`,
);
const pathPart = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${pathPart}(?:/${pathPart})*$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const bareIdPattern = /^[0-9a-f]{64}$/;
const maxNameLength = 255;

/** Reads a name as people write it. Answers why not when it is none. */
export function readReference(text: string): Reference | { readonly reason: string } {
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const digestText = rest.slice(at + 1);
    if (!isDigest(digestText)) return { reason: 'what follows the @ is not a sha256 digest' };
    digest = digestText;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    if (!tagPattern.test(tag))
      return { reason: 'its tag may only hold letters, digits, ".", "_" and "-", at most 128' };
    rest = rest.slice(0, colon);
  }
  if (bareIdPattern.test(rest)) return { reason: '64 hexadecimal digits are an image id, not a name' };
  const { registry, repository } = splitName(rest);
  if (!registryPattern.test(registry))
    return { reason: `${JSON.stringify(registry)} is not a registry's host name` };
  if (repository !== repository.toLowerCase()) return { reason: 'the repository must be lower-case' };
  if (!repositoryPattern.test(repository))
    return {
      reason:
        'the repository may only hold lower-case letters and digits, separated by "/", ".", "_" and "-"',
    };
  if (registry.length + 1 + repository.length > maxNameLength)
    return { reason: `it is longer than ${maxNameLength} characters` };
  // As docker: a digest says all, a tag beside it is only for people.
  return Object.freeze({
    registry,
    repository,
    tag: digest === undefined ? (tag ?? 'latest') : undefined,
    digest,
  });
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const registry = isHost ? (first === 'index.docker.io' ? defaultRegistry : first) : defaultRegistry;
  const path = isHost ? name.slice(slash + 1) : name;
  return {
    registry,
    repository: registry === defaultRegistry && !path.includes('/') ? `library/${path}` : path,
  };
}

/** Like {@link readReference}, for where there must be one. Throws `invalid_argument`. */
export function parseReference(text: string, operation: string): Reference {
  const read = readReference(text);
  if (!('reason' in read)) return read;
  throw new GantryError({
    code: 'invalid_argument',
    operation,
    object: text,
    message: `${JSON.stringify(text)} is not an image's name: ${read.reason}`,
  });
}

/** `docker.io/library/busybox` */
export function repositoryName({ registry, repository }: Reference): string {
  return `${registry}/${repository}`;
}

/** `docker.io/library/busybox:1.36` or `...@sha256:...` */
export function formatReference(reference: Reference): string {
  const name = repositoryName(reference);
  return reference.digest === undefined
    ? `${name}:${reference.tag ?? 'latest'}`
    : `${name}@${reference.digest}`;
}
