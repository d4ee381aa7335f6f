import { createHash } from 'node:crypto';
import { callerNodeOf, type CallContext, type Handlers } from '@gantry/bus';
import { GantryError, control } from '@gantry/protocol';
import { auditor } from './audit.js';
import type { Change } from './state.js';
import { hasEnded, stateOf } from './placement.js';
import { batchesBySize } from './pages.js';
import type { Reign } from './reign.js';
import { canonicalRegistry, registryOf } from './registries.js';
import { saysTheSame } from './views.js';

/** Well under what nats takes in one message. */
const mostTaskBytes = 256 * 1024;
const removedIdsPerMessage = 5_000;
/** Clocks further apart than this are told, milliseconds. */
const clockToleranceMs = 5_000;

export interface DispatchOptions {
  readonly reign: Reign;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly leaseMs: number;
  /** The view of one member, of the generation that is to be. */
  readonly viewOf: (nodeId: string) => control.ClusterView;
  /** A member has seen a later revision of this store than it has: it is a store of the past. */
  readonly behind: (revision: number) => void;
  /** Takes a node out of the cluster. */
  readonly leave: (nodeId: string, context: CallContext) => Promise<void>;
}

/** Answers agents: what each is to run, and what it tells. Whose request it is, nats-server has said in the subject. */
export function dispatchHandlers(options: DispatchOptions): Handlers<typeof control.Dispatcher> {
  const { reign } = options;
  const audited = auditor(reign);
  return {
    WatchTasks: (request, context) => watchTasks(options, memberOf(reign, context), request, context),
    async ReportStatus({ reports }, context) {
      const { nodeId } = memberOf(reign, context);
      return { unknownTaskIds: await takeReports(reign, nodeId, reports) };
    },
    async RenewLease({ status, maintenance, clockUnixMs }, context) {
      const record = memberOf(reign, context);
      const { nodeId } = record;
      const apartMs = Math.round(Math.abs(clockUnixMs - Date.now()));
      if (apartMs > clockToleranceMs) context.logger.warn({ node: nodeId, apartMs }, 'clocks are apart');
      if (status !== undefined) noteStatus(reign, nodeId, status);
      reign.leases.renew(nodeId, maintenance);
      if (record.maintenance !== maintenance) await noteMaintenance(reign, nodeId, maintenance);
      return {
        term: reign.term,
        leaseMs: options.leaseMs,
        leaderNodeId: options.nodeId,
        revision: reign.store.revision,
      };
    },
    async LeaveCluster(_request, context) {
      const { nodeId } = memberOf(reign, context);
      await audited(context, 'LeaveCluster', nodeId, () => options.leave(nodeId, context));
      return {};
    },
  };
}

function memberOf(reign: Reign, { subject }: CallContext): control.NodeRecord {
  const nodeId = callerNodeOf(subject);
  const record = reign.state.nodes.get(nodeId);
  if (record !== undefined) return record;
  throw new GantryError({
    code: 'permission_denied',
    operation: 'dispatch',
    object: nodeId,
    message: `node ${nodeId} is not a member of this cluster: it was removed`,
  });
}

/** Room on a node and its platform matter to decisions; what only people look at wakes nobody. */
function noteStatus(reign: Reign, nodeId: string, status: control.NodeStatus): void {
  const before = reign.nodeStatuses.get(nodeId);
  reign.nodeStatuses.set(nodeId, status);
  const relevant = (one: control.NodeStatus): string => JSON.stringify({ ...one, containersRunning: 0 });
  if (before === undefined || relevant(before) !== relevant(status)) reign.nodeChanged();
}

/** Written, so that a leader who comes meanwhile leaves the node its time too. */
async function noteMaintenance(reign: Reign, nodeId: string, maintenance: boolean): Promise<void> {
  await reign.transact(() => {
    const record = reign.state.nodes.get(nodeId);
    return {
      changes: record === undefined ? [] : [{ kind: 'node', id: nodeId, value: { ...record, maintenance } }],
      result: undefined,
    };
  });
}

async function* watchTasks(
  { reign, clusterId, viewOf, behind }: DispatchOptions,
  { nodeId }: control.NodeRecord,
  request: control.WatchTasksRequest,
  { signal, logger }: CallContext,
): AsyncGenerator<control.WatchTasksResponse> {
  const { state, store, term } = reign;
  if (request.clusterId !== '' && request.clusterId !== clusterId) throw foreign(nodeId, request.clusterId);
  if (request.storeGeneration === store.generation && request.seenRevision > store.revision) {
    logger.error(
      { node: nodeId, seen: request.seenRevision, revision: store.revision },
      'the store is older than a member has seen',
    );
    behind(request.seenRevision);
  }
  logger.info({ node: nodeId }, 'an agent watches its tasks');
  const sent = new Map<string, string>();
  let view: control.ClusterView | undefined;
  let isFirst = true;
  const over = AbortSignal.any([signal, reign.signal]);
  for await (const _ of reign.pulses(over)) {
    if (!state.nodes.has(nodeId)) throw foreign(nodeId, clusterId);
    const tasks = state.tasks.ofNode(nodeId);
    const changed = tasks
      .map((task) => ({ task, credential: credentialOf(state.stacks.get(task.stack), task) }))
      .filter((assigned) => sent.get(assigned.task.id) !== versionOf(assigned));
    const present = new Set(tasks.map(({ id }) => id));
    const removedTaskIds = [...sent.keys()].filter((id) => !present.has(id));
    const now = viewOf(nodeId);
    const frame = (): Omit<control.WatchTasksResponse, 'tasks' | 'complete' | 'view' | 'removedTaskIds'> => ({
      term,
      clusterId,
      storeGeneration: store.generation,
      revision: store.revision,
    });
    if (!saysTheSame(view, now)) {
      view = now;
      yield { ...frame(), tasks: [], removedTaskIds: [], complete: false, view };
    }
    for (const assigned of changed) sent.set(assigned.task.id, versionOf(assigned));
    for (const some of batchesBySize(changed, encodedSize, mostTaskBytes))
      yield { ...frame(), tasks: some, removedTaskIds: [], complete: false, view: undefined };
    for (const id of removedTaskIds) sent.delete(id);
    for (let at = 0; at < removedTaskIds.length; at += removedIdsPerMessage) {
      const some = removedTaskIds.slice(at, at + removedIdsPerMessage);
      yield { ...frame(), tasks: [], removedTaskIds: some, complete: false, view: undefined };
    }
    if (isFirst) yield { ...frame(), tasks: [], removedTaskIds: [], complete: true, view: undefined };
    isFirst = false;
  }
  if (reign.signal.aborted)
    throw new GantryError({
      code: 'unavailable',
      operation: 'WatchTasks',
      object: nodeId,
      message: `this control node does not lead any more: ${reign.endedBecause}`,
      retryable: true,
    });
}

interface Assigned {
  readonly task: control.Task;
  readonly credential: control.RegistryCredential | undefined;
}

const encodedSize = (assigned: control.AssignedTask): number =>
  control.AssignedTaskCodec.encode(assigned).length;

/** What an agent must be told of again when it changes. */
function versionOf({ task, credential }: Assigned): string {
  const { desired, term, serviceVersion, status } = task;
  const lost = status?.state === 'TASK_STATE_LOST' ? 'lost' : '';
  return `${desired} ${term} ${serviceVersion} ${lost} ${digestOf(credential)}`;
}

/** Of credentials, which are looked at with every task at every change: each is digested once. */
const digests = new WeakMap<control.RegistryCredential, string>();

function digestOf(credential: control.RegistryCredential | undefined): string {
  if (credential === undefined) return '';
  const known = digests.get(credential);
  if (known !== undefined) return known;
  const digest = createHash('sha256')
    .update(control.RegistryCredentialCodec.encode(credential))
    .digest('base64');
  digests.set(credential, digest);
  return digest;
}

/** For the registry that the task's image comes from. */
function credentialOf(
  stack: control.Stack | undefined,
  task: control.Task,
): control.RegistryCredential | undefined {
  const registry = registryOf(task.spec?.container?.image ?? '');
  return stack?.credentials.find((one) => canonicalRegistry(one.registry) === registry);
}

/** What control alone says of a task: an agent has it, and knows where it is. */
const notForAgents: ReadonlySet<control.TaskState> = new Set([
  'TASK_STATE_UNSPECIFIED',
  'TASK_STATE_PENDING',
  'TASK_STATE_LOST',
]);

/** How far a state is: reports never take a task back. */
const progressOf: Readonly<Record<control.TaskState, number>> = {
  TASK_STATE_UNSPECIFIED: 0,
  TASK_STATE_PENDING: 0,
  TASK_STATE_ASSIGNED: 1,
  TASK_STATE_PREPARING: 2,
  TASK_STATE_STARTING: 3,
  TASK_STATE_RUNNING: 4,
  TASK_STATE_COMPLETE: 5,
  TASK_STATE_SHUTDOWN: 5,
  TASK_STATE_FAILED: 5,
  TASK_STATE_REJECTED: 5,
  TASK_STATE_LOST: 6,
};

/** Takes what an agent tells of its tasks; answers with those that are not its own. */
async function takeReports(
  reign: Reign,
  nodeId: string,
  reports: readonly control.TaskReport[],
): Promise<string[]> {
  const unknown: string[] = [];
  const statuses: { taskId: string; status: control.TaskStatus }[] = [];
  const gone: string[] = [];
  for (const { taskId, status, removed } of reports) {
    const task = reign.state.tasks.get(taskId);
    if (task?.nodeId !== nodeId) {
      unknown.push(taskId);
    } else if (removed) {
      if (task.desired === 'DESIRED_STATE_REMOVED') gone.push(taskId);
    } else if (status !== undefined && isNews(task, status)) {
      statuses.push({ taskId, status });
    }
  }
  if (statuses.length > 0) await reign.report(statuses);
  if (gone.length > 0)
    await reign.transact(() => ({
      changes: gone
        .filter((id) => reign.state.tasks.get(id) !== undefined)
        .flatMap((id): Change[] => [
          { kind: 'task', id, value: undefined },
          { kind: 'status', id, value: undefined },
        ]),
      result: undefined,
    }));
  return unknown;
}

function isNews(task: control.Task, status: control.TaskStatus): boolean {
  if (notForAgents.has(status.state)) return false;
  const before = stateOf(task);
  if (hasEnded(task) && before !== status.state) return false;
  if (progressOf[status.state] < progressOf[before]) return false;
  return JSON.stringify(task.status) !== JSON.stringify(status);
}

const foreign = (nodeId: string, clusterId: string): GantryError =>
  new GantryError({
    code: 'permission_denied',
    operation: 'WatchTasks',
    object: nodeId,
    message: `node ${nodeId} is not a member of this cluster (it knows cluster ${clusterId})`,
  });
