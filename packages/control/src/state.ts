import type { control } from '@gantry/protocol';
import { decodeJson, encodeJson, kinds, type Contents, type JoinTokenRecord } from './store.js';
import { TaskTable, emptyStatus } from './task-table.js';

/** One change of the durable state: an entry written, or removed when there is no value. */
export type Change =
  | { readonly kind: 'node'; readonly id: string; readonly value: control.NodeRecord | undefined }
  | { readonly kind: 'stack'; readonly id: string; readonly value: control.Stack | undefined }
  | { readonly kind: 'service'; readonly id: string; readonly value: control.Service | undefined }
  /** Its status apart. */
  | { readonly kind: 'task'; readonly id: string; readonly value: control.Task | undefined }
  | { readonly kind: 'status'; readonly id: string; readonly value: control.TaskStatus | undefined }
  | { readonly kind: 'apitoken'; readonly id: string; readonly value: control.ApiToken | undefined }
  | { readonly kind: 'token'; readonly id: string; readonly value: JoinTokenRecord | undefined };

/**
 * The one way to change the state. `decide` sees it as it is and answers at once; its changes are written, those of one kind
 * side by side, then shown to all; nobody else decides meanwhile. After a write that failed this control node does not lead any more: the error
 * is thrown, and the state forgotten.
 */
export interface Committer {
  transact<T>(decide: () => Decision<T>): Promise<T>;
}

export interface Decision<T> {
  readonly changes: readonly Change[];
  /** Shown but not written: what is found out again, like a task's status on its way. */
  readonly unwritten?: readonly Change[];
  readonly result: T;
}

/** The cluster as its leader knows it: what the store holds, in memory. Values are never changed, only replaced. */
export class ClusterState {
  readonly nodes = new Map<string, control.NodeRecord>();
  readonly stacks = new Map<string, control.Stack>();
  readonly services = new Map<string, control.Service>();
  readonly tasks: TaskTable;
  readonly apiTokens = new Map<string, control.ApiToken>();
  readonly joinTokens = new Map<string, JoinTokenRecord>();

  private constructor(tasks: TaskTable) {
    this.tasks = tasks;
  }

  static from(contents: Contents): ClusterState {
    const state = new ClusterState(new TaskTable([]));
    const statuses = new Map<string, control.TaskStatus>();
    for (const [key, data] of contents) {
      const [kind = '', id = ''] = splitKey(key);
      if (kind === 'node') state.nodes.set(id, kinds.node.decode(data));
      else if (kind === 'stack') state.stacks.set(id, kinds.stack.decode(data));
      else if (kind === 'service') state.services.set(id, kinds.service.decode(data));
      else if (kind === 'task') state.tasks.set(kinds.task.decode(data));
      else if (kind === 'status') statuses.set(id, kinds.status.decode(data));
      else if (kind === 'apitoken') state.apiTokens.set(id, kinds.apitoken.decode(data));
      else if (kind === 'token') state.joinTokens.set(id, decodeJson<JoinTokenRecord>(data));
    }
    for (const task of state.tasks.all()) {
      const status = statuses.get(task.id);
      // A status on its way is not written: an assigned task without one has just been assigned.
      if (status !== undefined) state.tasks.set({ ...task, status });
      else if (task.nodeId !== '')
        state.tasks.set({ ...task, status: { ...emptyStatus, state: 'TASK_STATE_ASSIGNED' } });
    }
    return state;
  }

  apply(change: Change): void {
    switch (change.kind) {
      case 'node':
        return replace(this.nodes, change.id, change.value);
      case 'stack':
        return replace(this.stacks, change.id, change.value);
      case 'service':
        return replace(this.services, change.id, change.value);
      case 'apitoken':
        return replace(this.apiTokens, change.id, change.value);
      case 'token':
        return replace(this.joinTokens, change.id, change.value);
      case 'task':
        if (change.value === undefined) this.tasks.delete(change.id);
        else this.tasks.set(change.value);
        return;
      case 'status': {
        const task = this.tasks.get(change.id);
        if (task !== undefined && change.value !== undefined)
          this.tasks.set({ ...task, status: change.value });
      }
    }
  }
}

/** Key and bytes of a change; no bytes for a removal. */
export function encodeChange(change: Change): {
  readonly key: string;
  readonly data: Uint8Array | undefined;
} {
  const key = `${change.kind}.${change.id}`;
  if (change.value === undefined) return { key, data: undefined };
  switch (change.kind) {
    case 'node':
      return { key, data: kinds.node.encode(change.value) };
    case 'stack':
      return { key, data: kinds.stack.encode(change.value) };
    case 'service':
      return { key, data: kinds.service.encode(change.value) };
    case 'task':
      return { key, data: kinds.task.encode({ ...change.value, status: undefined }) };
    case 'status':
      return { key, data: kinds.status.encode(change.value) };
    case 'apitoken':
      return { key, data: kinds.apitoken.encode(change.value) };
    case 'token':
      return { key, data: encodeJson(change.value) };
  }
}

function replace<T>(map: Map<string, T>, id: string, value: T | undefined): void {
  if (value === undefined) map.delete(id);
  else map.set(id, value);
}

function splitKey(key: string): [string, string] {
  const at = key.indexOf('.');
  return at === -1 ? [key, ''] : [key.slice(0, at), key.slice(at + 1)];
}
