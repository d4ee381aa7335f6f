import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError } from '@gantry/protocol';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';

const requestTimeoutMs = 2_000;
const reloadTimeoutMs = 5_000;

interface LeafCut {
  readonly port: number;
  /** Of a user of the account SYS on this server. */
  readonly sysKeySeed: string;
  /** Public keys of those who are let in by the new configuration. */
  readonly letIn: ReadonlySet<string>;
  /** Makes the server read its configuration again. */
  readonly reload: () => void;
}

interface Connection {
  readonly cid: number;
  readonly kind: string;
  readonly authorized_user?: string;
}

/**
 * Reloads the server and cuts the leaf connections of those who are let in no more: a reload alone leaves them connected for
 * ever. Returns how many.
 */
export async function reloadAndCutLeaves(cut: LeafCut): Promise<number> {
  const { port, sysKeySeed, letIn, reload } = cut;
  const connection = await connect({
    servers: `127.0.0.1:${port}`,
    name: 'gantryd-sys',
    authenticator: nkeyAuthenticator(new TextEncoder().encode(sysKeySeed)),
    inboxPrefix: '_INBOX_gantryd-sys',
    reconnect: false,
    ignoreClusterUpdates: true,
    timeout: requestTimeoutMs,
  });
  try {
    const loadedAt = await loadTime(connection);
    reload();
    const deadline = performance.now() + reloadTimeoutMs;
    while ((await loadTime(connection)) === loadedAt) {
      if (performance.now() > deadline) throw refused(port);
      await sleep(20);
    }
    const { connections = [] } = await ask<{ connections?: readonly Connection[] }>(connection, 'CONNZ', {
      acc: 'CLUSTER',
      auth: true,
      limit: 65_536,
    });
    const strangers = connections.filter(
      ({ kind, authorized_user = '' }) => kind === 'Leafnode' && !letIn.has(authorized_user),
    );
    await Promise.all(strangers.map(({ cid }) => ask(connection, 'KICK', { cid })));
    return strangers.length;
  } finally {
    await connection.close();
  }
}

/** When the server last read its configuration, by its own clock. */
async function loadTime(connection: NatsConnection): Promise<string> {
  return (await ask<{ config_load_time: string }>(connection, 'VARZ')).config_load_time;
}

async function ask<T>(connection: NatsConnection, what: string, request: object = {}): Promise<T> {
  const subject = `$SYS.REQ.SERVER.${connection.info?.server_id ?? ''}.${what}`;
  const answer = await connection.request(subject, JSON.stringify(request), { timeout: requestTimeoutMs });
  return (answer.json<{ data?: T }>().data ?? {}) as T;
}

function refused(port: number): GantryError {
  return new GantryError({
    code: 'unavailable',
    operation: 'reload',
    object: `127.0.0.1:${port}`,
    message: `nats-server on port ${port} does not take its new configuration`,
  });
}
