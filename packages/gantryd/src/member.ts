import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { membershipPaths, readMembership, readView } from '@gantry/membership';
import { GantryError, asGantryError } from '@gantry/protocol';
import type { NodeConfig } from './config-schema.js';
import { loadBusKey } from './identity.js';
import type { MemberInput } from './nats/server-config.js';

/** This node's place in a cluster, read from its files; undefined for a node alone. */
export type Member = MemberInput;

/** Key pairs that a node has in a cluster beside those of its own bus; made with the others, used when it joins. */
export const clusterUsers = { agent: 'agent', control: 'cluster-control', sys: 'sys' } as const;

/** Throws `data_loss` or `failed_precondition` naming the file when the node is a member but its files are not whole. */
export function loadMember(config: NodeConfig): Member | undefined {
  const membership = readMembership(config.state_dir);
  if (membership === undefined) return undefined;
  const paths = membershipPaths(config.state_dir);
  const view = readView(config.state_dir);
  if (view === undefined) throw incomplete(paths.view);
  const isControl = membership.role === 'control';
  const agent = loadBusKey(config.state_dir, clusterUsers.agent);
  return {
    membership,
    view,
    paths,
    storeDirectory: join(config.state_dir, 'nats', `js-${view.storeGeneration}`),
    routeSecret: isControl ? readText(paths.routeSecret) : '',
    agentSeed: agent.seed,
    agentKey: agent.publicKey,
    controlKey: loadBusKey(config.state_dir, clusterUsers.control).publicKey,
    sysKey: loadBusKey(config.state_dir, clusterUsers.sys).publicKey,
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw incomplete(path, asGantryError(error, 'read membership'));
  }
}

function incomplete(path: string, cause?: unknown): GantryError {
  return new GantryError({
    code: 'failed_precondition',
    operation: 'read membership',
    object: path,
    message: `${path} is missing: this node goes on without its cluster until it is there`,
    cause,
  });
}
