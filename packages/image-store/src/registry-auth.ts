import { GantryError } from '@gantry/protocol';
import { readBody, type RegistryHttp } from './registry-http.js';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

/** Reads a WWW-Authenticate header; undefined when it asks for nothing that we can do. */
export function parseChallenge(header: string): Challenge | undefined {
  const scheme = /^\s*([A-Za-z]+)/.exec(header)?.[1]?.toLowerCase();
  if (scheme === 'basic') return { scheme };
  if (scheme !== 'bearer') return undefined;
  const parameters = new Map<string, string>();
  for (const match of header.matchAll(/([A-Za-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,]+))/g))
    parameters.set((match[1] ?? '').toLowerCase(), match[2] ?? match[3] ?? '');
  const realm = parameters.get('realm');
  if (realm === undefined) return undefined;
  return { scheme, realm, service: parameters.get('service'), scope: parameters.get('scope') };
}

const maxTokenBytes = 256 * 1024;

/** Answers the registry's challenge with a value for the Authorization header. Undefined when there is none to give. */
export async function answerChallenge(
  challenge: Challenge,
  context: {
    readonly http: RegistryHttp;
    readonly registry: string;
    readonly repository: string;
    readonly credentials: Credentials | undefined;
    readonly signal: AbortSignal;
  },
): Promise<string | undefined> {
  const { http, registry, repository, credentials, signal } = context;
  const basic =
    credentials === undefined
      ? undefined
      : `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
  if (challenge.scheme === 'basic') return basic;
  const url = new URL(challenge.realm);
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service);
  url.searchParams.set('scope', challenge.scope ?? `repository:${repository}:pull`);
  const answer = await http.get(url, basic === undefined ? {} : { authorization: basic }, signal);
  const body = await readBody(answer, maxTokenBytes, `the token of registry ${registry}`);
  if (answer.status !== 200)
    throw new GantryError({
      code: answer.status === 401 || answer.status === 403 ? 'permission_denied' : 'unavailable',
      operation: 'pull',
      object: registry,
      message: `registry ${registry} gives no token for ${repository}: HTTP ${answer.status}${credentials === undefined ? ', and no user name was given' : ''}`,
    });
  let token: unknown;
  try {
    const document = JSON.parse(body.toString('utf8')) as { token?: unknown; access_token?: unknown };
    token = document.token ?? document.access_token;
  } catch {
    token = undefined;
  }
  if (typeof token === 'string' && /^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`;
  throw new GantryError({
    code: 'unavailable',
    operation: 'pull',
    object: registry,
    message: `registry ${registry} answers with a token that cannot be used`,
  });
}
