import type { control } from '@gantry/protocol';
import type { Client } from '../client/client.js';
import { ApiFailure } from '../failures.js';

export const hostnameOf = ({ record, status }: control.Node): string =>
  (status?.hostname ?? '') === '' ? (record?.hostname ?? '') : (status?.hostname ?? '');

/** Names of the nodes of the cluster by their ids; empty when nobody can tell. */
export async function hostnamesById(client: Client): Promise<ReadonlyMap<string, string>> {
  try {
    const { nodes } = await client.get<control.ListNodesResponse>('/v1/nodes');
    return new Map(nodes.map((node) => [node.record?.nodeId ?? '', hostnameOf(node)]));
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    return new Map();
  }
}
