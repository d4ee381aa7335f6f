import type { control } from '@gantry/protocol';
import { portKey, refusalOfNode, refusalOfRoom, valueOf, type Refusal, type Room } from './filters.js';
import { holdsRoom, hostPortsOf, type NodeView } from './placement.js';

/** Where each pending task goes, or why it goes nowhere. */
export interface Placements {
  readonly assigned: ReadonlyMap<string, string>;
  /** By task: "no node fits: 3 of 5 lack memory, 2 are draining". */
  readonly refused: ReadonlyMap<string, string>;
}

export interface ScheduleInput {
  readonly nodes: readonly NodeView[];
  /** Every task that may hold room. */
  readonly tasks: Iterable<control.Task>;
  /** To be placed, in this order. */
  readonly pending: readonly control.Task[];
  /** By task: nodes that have refused its like lately, taken only when there is no other. */
  readonly avoid: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Places tasks on nodes: filters that can say why, then a ranking. Pure, and the same for the same input.
 *
 * Ranking: nodes not to be avoided, then the emptiest value of each spread preference, then fewest tasks of the service,
 * then fewest tasks, then most free memory, then the id.
 */
export function schedule({ nodes, tasks, pending, avoid }: ScheduleInput): Placements {
  const assigned = new Map<string, string>();
  const refused = new Map<string, string>();
  if (pending.length === 0) return { assigned, refused };
  const rooms = roomsOf(nodes, tasks);
  const fitting = new Map<string, Candidates>();
  for (const task of pending) {
    const spec = task.spec;
    if (spec === undefined) continue;
    const key = `${task.serviceId} ${task.serviceVersion}`;
    let candidates = fitting.get(key);
    if (candidates === undefined) {
      candidates = candidatesFor(rooms, spec);
      fitting.set(key, candidates);
    }
    const { best, refusals } = choose(candidates, task, spec, avoid.get(task.id));
    if (best === undefined) {
      refused.set(task.id, explain(nodes.length, candidates.refusals, refusals));
    } else {
      assigned.set(task.id, best.node.id);
      occupy(best, task);
    }
  }
  return { assigned, refused };
}

interface Candidates {
  readonly rooms: readonly Room[];
  readonly refusals: readonly Refusal[];
}

function candidatesFor(rooms: readonly Room[], spec: control.ServiceSpec): Candidates {
  const fitting: Room[] = [];
  const refusals: Refusal[] = [];
  for (const room of rooms) {
    const refusal = refusalOfNode(room.node, spec);
    if (refusal === undefined) fitting.push(room);
    else refusals.push(refusal);
  }
  return { rooms: fitting, refusals };
}

function choose(
  { rooms }: Candidates,
  task: control.Task,
  spec: control.ServiceSpec,
  avoided: ReadonlySet<string> | undefined,
): { best: Room | undefined; refusals: Refusal[] } {
  const refusals: Refusal[] = [];
  const open: Room[] = [];
  for (const room of rooms) {
    const refusal = refusalOfRoom(room, task.serviceId, spec);
    if (refusal === undefined) open.push(room);
    else refusals.push(refusal);
  }
  const spread = spec.placement?.spread ?? [];
  const loads = spread.map((key) => loadByValue(rooms, key, task.serviceId));
  let best: Room | undefined;
  let bestRank: Rank | undefined;
  for (const room of open) {
    const here = room.tasksOf.get(task.serviceId) ?? 0;
    const rank: Rank = [
      avoided?.has(room.node.id) === true ? 1 : 0,
      ...spread.map((key, index) => loads[index]?.get(valueOf(room.node, key)) ?? 0),
      here,
      room.taskCount,
      -room.memoryBytes,
    ];
    if (bestRank === undefined || isLess(rank, bestRank)) {
      best = room;
      bestRank = rank;
    }
  }
  return { best, refusals };
}

type Rank = readonly number[];

/** Rooms come in the order of their ids: of equals the first stays. */
function isLess(a: Rank, b: Rank): boolean {
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    if (value !== other) return value < other;
  }
  return false;
}

/** Tasks of the service on all nodes that share a value. */
function loadByValue(rooms: readonly Room[], key: string, serviceId: string): Map<string, number> {
  const loads = new Map<string, number>();
  for (const room of rooms) {
    const value = valueOf(room.node, key);
    loads.set(value, (loads.get(value) ?? 0) + (room.tasksOf.get(serviceId) ?? 0));
  }
  return loads;
}

function roomsOf(nodes: readonly NodeView[], tasks: Iterable<control.Task>): Room[] {
  const rooms = new Map<string, Room>();
  for (const node of [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const { status } = node;
    rooms.set(node.id, {
      node,
      cpuMillis: (status?.cpuMillis ?? 0) - (status?.localCpuMillis ?? 0),
      memoryBytes: (status?.memoryBytes ?? 0) - (status?.localMemoryBytes ?? 0),
      ports: new Set((status?.localPorts ?? []).map(portKey)),
      tasksOf: new Map(),
      taskCount: 0,
    });
  }
  for (const task of tasks) {
    const room = rooms.get(task.nodeId);
    if (room !== undefined && holdsRoom(task)) occupy(room, task);
  }
  return [...rooms.values()];
}

function occupy(room: Room, task: control.Task): void {
  room.cpuMillis -= task.spec?.reservation?.cpuMillis ?? 0;
  room.memoryBytes -= task.spec?.reservation?.memoryBytes ?? 0;
  for (const port of hostPortsOf(task.spec)) room.ports.add(portKey(port));
  room.tasksOf.set(task.serviceId, (room.tasksOf.get(task.serviceId) ?? 0) + 1);
  room.taskCount += 1;
}

/** Counts add up to the number of nodes: each is refused by the first filter that refuses it. */
function explain(total: number, ...groups: readonly (readonly Refusal[])[]): string {
  if (total === 0) return 'no node fits: there is none';
  const counts = new Map<string, { refusal: Refusal; count: number }>();
  for (const refusal of groups.flat()) {
    const entry = counts.get(refusal.many) ?? { refusal, count: 0 };
    entry.count += 1;
    counts.set(refusal.many, entry);
  }
  const parts = [...counts.values()]
    .sort((a, b) => b.count - a.count)
    .map(
      ({ refusal, count }, index) =>
        `${count}${index === 0 ? ` of ${total}` : ''} ${count === 1 ? refusal.one : refusal.many}`,
    );
  return `no node fits: ${parts.join(', ')}`;
}
