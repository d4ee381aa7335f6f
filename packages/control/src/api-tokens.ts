import { makeToken } from '@gantry/membership';
import type { GantryError, control } from '@gantry/protocol';
import { authorityFingerprint } from './join-tokens.js';
import type { JoiningContext } from './joining.js';
import { refusal } from './refuse.js';

const mostTokens = 1_000;
const roles: readonly string[] = ['admin', 'read', 'metrics'];

/** A token for the api over TLS. Its secret is in the answer and nowhere else. */
export async function createApiToken(
  { state, committer, nowMs, stateDirectory }: JoiningContext,
  { name, role, ttlSeconds }: control.CreateApiTokenRequest,
): Promise<control.CreateApiTokenResponse> {
  const wrong = (message: string): GantryError =>
    refusal('invalid_argument', 'CreateApiToken', name, message);
  if (!/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$/.test(name))
    throw wrong(`${JSON.stringify(name)} cannot be the name of a token`);
  if (!roles.includes(role))
    throw wrong(`a token's role is admin, read or metrics, not ${JSON.stringify(role)}`);
  const { token, id, secretSha256 } = makeToken('ga1', undefined, authorityFingerprint(stateDirectory));
  const createdUnixMs = Math.floor(nowMs());
  const expiresUnixMs = ttlSeconds === 0 ? 0 : createdUnixMs + ttlSeconds * 1_000;
  const stored: control.ApiToken = { id, name, role, secretSha256, createdUnixMs, expiresUnixMs };
  return committer.transact(() => {
    if ([...state.apiTokens.values()].some((one) => one.name === name))
      throw refusal('already_exists', 'CreateApiToken', name, `there is a token ${name} already`);
    if (state.apiTokens.size >= mostTokens)
      throw refusal(
        'resource_exhausted',
        'CreateApiToken',
        name,
        `there are ${mostTokens} tokens already: revoke one first`,
      );
    return {
      changes: [{ kind: 'apitoken', id, value: stored }],
      result: { token, stored: withoutSecret(stored) },
    };
  });
}

/** Oldest first. */
export function listApiTokens({ state }: Pick<JoiningContext, 'state'>): control.ApiToken[] {
  return [...state.apiTokens.values()]
    .sort((a, b) => a.createdUnixMs - b.createdUnixMs || (a.id < b.id ? -1 : 1))
    .map(withoutSecret);
}

export async function revokeApiToken(
  { state, committer }: Pick<JoiningContext, 'state' | 'committer'>,
  idOrName: string,
): Promise<void> {
  await committer.transact(() => {
    const token =
      state.apiTokens.get(idOrName) ?? [...state.apiTokens.values()].find(({ name }) => name === idOrName);
    if (token === undefined)
      throw refusal('not_found', 'RevokeApiToken', idOrName, `there is no token ${idOrName}`);
    return { changes: [{ kind: 'apitoken', id: token.id, value: undefined }], result: undefined };
  });
}

/** Nobody who asks needs the hash of it. */
const withoutSecret = (token: control.ApiToken): control.ApiToken => ({ ...token, secretSha256: '' });
