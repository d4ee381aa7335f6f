import type { control } from '@gantry/protocol';
import { hostPortsOf, type NodeView } from './placement.js';

/** What a node still has to give while a plan is made. */
export interface Room {
  readonly node: NodeView;
  cpuMillis: number;
  memoryBytes: number;
  readonly ports: Set<string>;
  /** Tasks that hold room here, by service. */
  readonly tasksOf: Map<string, number>;
  taskCount: number;
}

/** "80/tcp" on one address or on all: two of them clash when the address is the same, or one is for all. */
export const portKey = ({ port, protocol, address }: control.HostPort): string =>
  `${address === '0.0.0.0' ? '' : address}:${port}/${protocol}`;

export function portClashes(taken: ReadonlySet<string>, wanted: control.HostPort): boolean {
  const key = portKey(wanted);
  if (taken.has(key)) return true;
  const [address = '', rest = ''] = splitKey(key);
  if (address !== '') return taken.has(`:${rest}`);
  for (const other of taken) if (splitKey(other)[1] === rest) return true;
  return false;
}

function splitKey(key: string): [string, string] {
  const at = key.lastIndexOf(':');
  return [key.slice(0, at), key.slice(at + 1)];
}

/** Why a node does not take a task, as the second half of a sentence: one node, several nodes. */
export interface Refusal {
  readonly one: string;
  readonly many: string;
}

/** The part that does not change while tasks are placed: asked once for a node and a service. */
export function refusalOfNode(node: NodeView, spec: control.ServiceSpec): Refusal | undefined {
  switch (node.condition) {
    case 'ready':
      break;
    case 'restarting':
      return { one: 'is restarting', many: 'are restarting' };
    case 'lost':
      return { one: 'is lost', many: 'are lost' };
    case 'unknown':
      return { one: 'has not been heard of yet', many: 'have not been heard of yet' };
  }
  if (node.record.availability === 'AVAILABILITY_DRAIN') return { one: 'is draining', many: 'are draining' };
  const failed = (spec.placement?.constraints ?? []).find((constraint) => !satisfies(node, constraint));
  return failed === undefined
    ? undefined
    : {
        one: `does not satisfy ${failed.key} ${failed.operator} ${failed.value}`,
        many: `do not satisfy ${failed.key} ${failed.operator} ${failed.value}`,
      };
}

/** The part that changes with every task that is placed. */
export function refusalOfRoom(room: Room, serviceId: string, spec: control.ServiceSpec): Refusal | undefined {
  const { cpuMillis = 0, memoryBytes = 0 } = spec.reservation ?? {};
  if (cpuMillis > 0 && cpuMillis > room.cpuMillis) return { one: 'lacks cpu', many: 'lack cpu' };
  if (memoryBytes > 0 && memoryBytes > room.memoryBytes) return { one: 'lacks memory', many: 'lack memory' };
  const clash = hostPortsOf(spec).find((port) => portClashes(room.ports, port));
  if (clash !== undefined)
    return {
      one: `has port ${clash.port}/${clash.protocol} taken`,
      many: `have port ${clash.port}/${clash.protocol} taken`,
    };
  const most = spec.mode === 'SERVICE_MODE_GLOBAL' ? 1 : (spec.placement?.maxReplicasPerNode ?? 0);
  const here = room.tasksOf.get(serviceId) ?? 0;
  if (most > 0 && here >= most)
    return spec.mode === 'SERVICE_MODE_GLOBAL'
      ? { one: 'already runs it', many: 'already run it' }
      : { one: `already runs ${most} of it`, many: `already run ${most} of it` };
  return undefined;
}

/** The value of a constraint's or a spread's key on a node; labels that are absent are empty. */
export function valueOf(node: NodeView, key: string): string {
  const { record, status } = node;
  switch (key) {
    case 'node.id':
      return node.id;
    case 'node.hostname':
      return status?.hostname ?? record.hostname;
    case 'node.role':
      return record.role === 'NODE_ROLE_CONTROL' ? 'control' : 'worker';
    case 'node.platform.os':
      return status?.operatingSystem ?? '';
    case 'node.platform.arch':
      return status?.architecture ?? '';
    default:
      return record.labels[key.replace(/^node\.labels\./, '')] ?? '';
  }
}

/** Swarm's word for a control node is taken too. */
function satisfies(node: NodeView, { key, operator, value }: control.Constraint): boolean {
  const wanted = key === 'node.role' && value === 'manager' ? 'control' : value;
  return (valueOf(node, key) === wanted) === (operator === '==');
}
