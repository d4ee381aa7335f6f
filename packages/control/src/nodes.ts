import { GantryError, type control } from '@gantry/protocol';
import { holdsRoom, isWanted, type Condition } from './placement.js';
import type { Reign } from './reign.js';
import type { Change } from './state.js';

const conditions: Readonly<Record<Condition, control.NodeCondition>> = {
  ready: 'NODE_CONDITION_READY',
  restarting: 'NODE_CONDITION_RESTARTING',
  lost: 'NODE_CONDITION_LOST',
  unknown: 'NODE_CONDITION_UNKNOWN',
};

/** A node as people see it. */
export function describeNode(reign: Reign, record: control.NodeRecord, leaderId: string): control.Node {
  const tasks = reign.state.tasks.ofNode(record.nodeId);
  const holding = tasks.filter(holdsRoom);
  const sum = (of: (task: control.Task) => number | undefined): number =>
    holding.reduce((total, task) => total + (of(task) ?? 0), 0);
  return {
    record,
    status: reign.nodeStatuses.get(record.nodeId),
    condition: conditions[reign.leases.conditionOf(record.nodeId)],
    leader: record.nodeId === leaderId,
    reservedCpuMillis: sum(({ spec }) => spec?.reservation?.cpuMillis),
    reservedMemoryBytes: sum(({ spec }) => spec?.reservation?.memoryBytes),
    taskCount: tasks.filter((task) => holdsRoom(task) && isWanted(task)).length,
  };
}

/** By full id, unique prefix of an id, or unique hostname. */
export function findNode(reign: Reign, reference: string): control.NodeRecord {
  const exact = reign.state.nodes.get(reference);
  if (exact !== undefined) return exact;
  const all = [...reign.state.nodes.values()];
  const hostnameOf = (node: control.NodeRecord): string =>
    reign.nodeStatuses.get(node.nodeId)?.hostname ?? node.hostname;
  const named = all.filter((node) => hostnameOf(node) === reference);
  const found =
    named.length > 0
      ? named
      : reference === ''
        ? []
        : all.filter(({ nodeId }) => nodeId.startsWith(reference));
  const [first, second] = found;
  if (second !== undefined)
    throw refusal('invalid_argument', reference, `several nodes are called ${reference}: name one by its id`);
  if (first === undefined) throw refusal('not_found', reference, `there is no node ${reference}`);
  return first;
}

export async function updateNode(
  reign: Reign,
  { node, labelsAdd, labelsRemove, availability }: control.UpdateNodeRequest,
): Promise<control.NodeRecord> {
  for (const key of Object.keys(labelsAdd))
    if (!/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/.test(key))
      throw refusal('invalid_argument', key, `"${key}" cannot be the name of a label`);
  const changed = await reign.transact(() => {
    const record = findNode(reign, node);
    const labels: Record<string, string> = { ...record.labels, ...labelsAdd };
    for (const key of labelsRemove) {
      if (labels[key] === undefined)
        throw refusal('not_found', key, `node ${record.hostname} has no label ${key}`);
      delete labels[key];
    }
    const value: control.NodeRecord = {
      ...record,
      labels,
      availability: availability === 'AVAILABILITY_UNSPECIFIED' ? record.availability : availability,
    };
    return { changes: [{ kind: 'node', id: record.nodeId, value }], result: value };
  });
  reign.events.publish('node', 'update', changed.nodeId, {
    name: changed.hostname,
    availability: changed.availability,
  });
  return changed;
}

/** Its credentials end with its record: no view names it any more. */
export async function removeNode(reign: Reign, reference: string, force: boolean): Promise<void> {
  const removed = await reign.transact(() => {
    const record = findNode(reign, reference);
    if (record.role === 'NODE_ROLE_CONTROL')
      throw refusal(
        'failed_precondition',
        reference,
        `${record.hostname} is a control node, one of those that hold the store: it cannot be removed`,
      );
    if (!force && reign.leases.conditionOf(record.nodeId) !== 'lost')
      throw refusal(
        'failed_precondition',
        reference,
        `${record.hostname} is still there: run gantry cluster leave on it, or remove it with --force`,
      );
    return { changes: removalOf(record.nodeId), result: record };
  });
  reign.leases.forget(removed.nodeId);
  reign.nodeStatuses.delete(removed.nodeId);
  reign.events.publish('node', 'remove', removed.nodeId, { name: removed.hostname });
}

export function removalOf(nodeId: string): Change[] {
  return [{ kind: 'node', id: nodeId, value: undefined }];
}

function refusal(code: GantryError['code'], object: string, message: string): GantryError {
  return new GantryError({ code, operation: 'change nodes', object, message });
}
