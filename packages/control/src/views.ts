import type { control } from '@gantry/protocol';

/** What stands above the members in a view. */
export interface ViewFrame {
  readonly clusterId: string;
  readonly generation: number;
  readonly revision: number;
  /** The node that fills the store of the generation; empty when it is filled. */
  readonly seedingNodeId: string;
}

/** What one member is told of the others: control nodes of all, workers of control nodes and themselves. */
export function viewFor(
  nodeId: string,
  nodes: Iterable<control.NodeRecord>,
  apiTokens: Iterable<control.ApiToken>,
  { clusterId, generation, revision, seedingNodeId }: ViewFrame,
): control.ClusterView {
  const records = [...nodes].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  const seesAll = records.some((one) => one.nodeId === nodeId && one.role === 'NODE_ROLE_CONTROL');
  const members = records
    .filter((one) => seesAll || one.role === 'NODE_ROLE_CONTROL' || one.nodeId === nodeId)
    .map(({ nodeId: id, role, address, leafPort, routePort, apiPort, busKey }) => ({
      nodeId: id,
      role,
      address,
      leafPort,
      routePort,
      apiPort,
      busKey,
    }));
  return {
    clusterId,
    storeGeneration: generation,
    revision,
    members,
    apiTokens: [...apiTokens].sort((a, b) => (a.id < b.id ? -1 : 1)),
    seedingNodeId,
  };
}

/** Two views that differ in their revision alone say the same. */
export const saysTheSame = (a: control.ClusterView | undefined, b: control.ClusterView): boolean =>
  a !== undefined && JSON.stringify({ ...a, revision: 0 }) === JSON.stringify({ ...b, revision: 0 });
