import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { membershipPaths, readMembership, readView } from '@gantry/membership';
import { GantryError } from '@gantry/protocol';
import type { NodeConfig } from './config-schema.js';
import { loadBusKey } from './identity.js';
import type { MemberInput } from './nats/server-config.js';

/** This node's place in a cluster, read from its files; undefined for a node alone. */
export type Member = MemberInput;

/** Key pairs that a node has in a cluster beside those of its own bus; made with the others, used when it joins. */
export const clusterUsers = { agent: 'agent', control: 'cluster-control', sys: 'sys' } as const;

/**
 * Throws when the node is a member but nats-server would not run with its files: `data_loss` or `failed_precondition`,
 * naming the file or the address.
 */
export async function loadMember(config: NodeConfig): Promise<Member | undefined> {
  const membership = readMembership(config.state_dir);
  if (membership === undefined) return undefined;
  const paths = membershipPaths(config.state_dir);
  const view = readView(config.state_dir);
  if (view === undefined) throw unusable(paths.view, 'is missing');
  const isControl = membership.role === 'control';
  // It is bound as it stands: after a change of the machine's address nats-server would end at once.
  if (isControl) await checkOwnAddress(membership.address, paths.membership);
  const agent = loadBusKey(config.state_dir, clusterUsers.agent);
  return {
    membership,
    view,
    paths,
    certificateId: checkCertificate(paths),
    storeDirectory: join(config.state_dir, 'nats', `js-${view.storeGeneration}`),
    routeSecret: isControl ? readText(paths.routeSecret) : '',
    agentSeed: agent.seed,
    agentKey: agent.publicKey,
    controlKey: loadBusKey(config.state_dir, clusterUsers.control).publicKey,
    sysKey: loadBusKey(config.state_dir, clusterUsers.sys).publicKey,
  };
}

/** Returns what names the certificate. */
function checkCertificate({ certificate, key, caCertificate }: Member['paths']): string {
  const authority = parse(caCertificate, (text) => new X509Certificate(text));
  const own = parse(certificate, (text) => new X509Certificate(text));
  const secret = parse(key, (text) => createPrivateKey(text));
  if (!own.checkIssued(authority) || !own.verify(authority.publicKey))
    throw unusable(certificate, `was not signed by the authority in ${caCertificate}`);
  if (!own.checkPrivateKey(secret)) throw unusable(key, `does not belong to ${certificate}`);
  return own.fingerprint256.replaceAll(':', '').slice(0, 16).toLowerCase();
}

function parse<T>(path: string, how: (text: string) => T): T {
  const text = readText(path);
  try {
    return how(text);
  } catch (cause) {
    throw unusable(path, 'cannot be understood', cause);
  }
}

function readText(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw unusable(path, 'cannot be read', cause);
  }
  if (text === '') throw unusable(path, 'is empty');
  return text;
}

function checkOwnAddress(address: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(unusable(path, `gives the address ${address}, which is none of this machine`, cause)),
    );
    server.listen({ host: address, port: 0 }, () => server.close(() => resolve()));
  });
}

function unusable(path: string, what: string, cause?: unknown): GantryError {
  return new GantryError({
    code: 'failed_precondition',
    operation: 'read membership',
    object: path,
    message: `${path} ${what}: this node goes on without its cluster until that is mended`,
    cause,
  });
}
