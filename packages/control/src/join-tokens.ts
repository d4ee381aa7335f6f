import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { makeToken, membershipPaths, parseToken, secretFits } from '@gantry/membership';
import { fingerprintOf } from '@gantry/membership/certificates';
import type { GantryError, control } from '@gantry/protocol';
import type { JoiningContext } from './joining.js';
import { refusal } from './refuse.js';
import type { Change } from './state.js';
import type { JoinTokenRecord } from './store.js';

const defaultTtlSeconds = 86_400;
const shortestTtlSeconds = 60;
const longestTtlSeconds = 2_592_000;
/** A token that was used is remembered for so long after its end, so that its second use is told as such, milliseconds. */
const rememberedMs = 86_400_000;
const mostTokens = 1_000;

/** A token for one node to join with. Those that ended long ago are forgotten at the same time. */
export async function createJoinToken(
  { state, committer, nowMs, stateDirectory }: JoiningContext,
  { role, ttlSeconds }: Pick<control.CreateJoinTokenRequest, 'role' | 'ttlSeconds'>,
): Promise<control.CreateJoinTokenResponse> {
  const ttl = ttlSeconds === 0 ? defaultTtlSeconds : ttlSeconds;
  if (ttl < shortestTtlSeconds || ttl > longestTtlSeconds)
    throw refusal(
      'invalid_argument',
      'CreateJoinToken',
      'token',
      `a token lasts ${shortestTtlSeconds} to ${longestTtlSeconds} seconds, not ${ttlSeconds}`,
    );
  const kind = role === 'NODE_ROLE_CONTROL' ? 'control' : 'worker';
  const made = makeToken('gj1', kind, authorityFingerprint(stateDirectory));
  const expiresUnixMs = Math.floor(nowMs()) + ttl * 1_000;
  return committer.transact(() => {
    const old = [...state.joinTokens.values()].filter((one) => nowMs() > one.expiresUnixMs + rememberedMs);
    if (state.joinTokens.size - old.length >= mostTokens)
      throw refusal(
        'resource_exhausted',
        'CreateJoinToken',
        'token',
        `there are ${mostTokens} tokens to join with already: they end by themselves`,
      );
    const record: JoinTokenRecord = {
      id: made.id,
      role: kind,
      secretSha256: made.secretSha256,
      expiresUnixMs,
      usedBy: '',
      usedKey: '',
    };
    const changes: Change[] = [
      ...old.map(({ id }): Change => ({ kind: 'token', id, value: undefined })),
      { kind: 'token', id: record.id, value: record },
    ];
    return { changes, result: { token: made.token, expiresUnixMs, addresses: apiAddresses(state.nodes) } };
  });
}

/**
 * The record of a token that this node may join with now. A node whose answer was lost may ask again, until the token ends
 * or its lease has been renewed: later, whoever knows the token and the node's public id and key would be given a
 * certificate. Throws `permission_denied` with the one reason why not.
 */
export function checkJoinToken(
  { state, nowMs, stateDirectory, hasJoined }: JoiningContext,
  text: string,
  joiner: { readonly nodeId: string; readonly busKey: string },
): JoinTokenRecord {
  const token = parseToken(text);
  if (token === undefined || token.kind !== 'gj1')
    throw denied(
      token === undefined
        ? 'this is no token to join with: gantry cluster token makes one'
        : 'this token is for the api: gantry cluster token makes one to join with',
    );
  if (token.caFingerprint !== authorityFingerprint(stateDirectory))
    throw denied('the token belongs to another cluster');
  const record = state.joinTokens.get(token.id);
  if (record === undefined || record.role !== token.role || !secretFits(token.secret, record.secretSha256))
    throw denied(`the token ${token.id} is wrong: this cluster does not know it`);
  if (record.usedBy !== '') {
    const known = state.nodes.get(joiner.nodeId);
    const isRepeated =
      record.usedBy === joiner.nodeId && record.usedKey === joiner.busKey && known?.busKey === joiner.busKey;
    if (isRepeated && nowMs() <= record.expiresUnixMs && !hasJoined(joiner.nodeId)) return record;
    throw denied(`the token ${token.id} was used already, by node ${record.usedBy}: it is good for one node`);
  }
  if (nowMs() > record.expiresUnixMs)
    throw denied(
      `the token ${token.id} has expired, at ${new Date(record.expiresUnixMs).toISOString()}: make another`,
    );
  return record;
}

/** What tokens carry of the cluster's authority. */
export function authorityFingerprint(stateDirectory: string): string {
  return fingerprintOf(readFileSync(membershipPaths(stateDirectory).caCertificate, 'utf8'));
}

function apiAddresses(nodes: ReadonlyMap<string, control.NodeRecord>): string[] {
  return [...nodes.values()]
    .filter(({ role, apiPort }) => role === 'NODE_ROLE_CONTROL' && apiPort !== 0)
    .map(({ address, apiPort }) => `${isIPv6(address) ? `[${address}]` : address}:${apiPort}`)
    .sort();
}

const denied = (message: string): GantryError => refusal('permission_denied', 'JoinNode', 'token', message);
