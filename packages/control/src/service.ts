import type { Bus, Handlers } from '@gantry/bus';
import { control } from '@gantry/protocol';
import { createApiToken, listApiTokens, revokeApiToken } from './api-tokens.js';
import { auditor, noteDeed } from './audit.js';
import { checkControlJoin } from './generations.js';
import { joinNode } from './join.js';
import { createJoinToken } from './join-tokens.js';
import { describeNode, findNode, removalOf, removeNode, updateNode } from './nodes.js';
import { pageOf } from './pages.js';
import { displayName, hasEnded, isRunning, isWanted, stateOf } from './placement.js';
import { progressOf } from './progress.js';
import type { Reign } from './reign.js';
import { watchRollout } from './rollout-watch.js';
import { deployStack, findService, removeService, removeStack, updateService } from './services.js';
import type { ClusterState } from './state.js';
import { readTaskLogs } from './task-logs.js';
import { refusal } from './refuse.js';

export interface ControlParts {
  readonly reign: Reign;
  readonly nodeId: string;
  readonly version: string;
  readonly clusterId: string;
  readonly stateDirectory: string;
  /** In the account CLUSTER. */
  readonly bus: Bus;
  readonly viewOf: (nodeId: string) => control.ClusterView;
}

/** The methods of the leader for those who administer the cluster. */
export function controlHandlers(parts: ControlParts): Handlers<typeof control.Control> {
  const { reign, nodeId, clusterId, bus } = parts;
  const { state, store } = reign;
  const joining = {
    state,
    committer: reign,
    nowMs: Date.now,
    version: parts.version,
    stateDirectory: parts.stateDirectory,
    hasJoined: (id: string) => reign.nodeStatuses.has(id),
    checkControlJoin: (id: string) => checkControlJoin(othersAsTheyWillBe(state, id)),
  };
  const audited = auditor(reign);
  const describe = (record: control.NodeRecord): control.Node => describeNode(reign, record, nodeId);
  const progress = (service: control.Service): control.ServiceProgress =>
    progressOf(service, state.tasks.ofService(service.id), reign.nodeViews());
  return {
    GetCluster() {
      const nodes = [...state.nodes.values()];
      const tasks = state.tasks.all();
      const controls = nodes.filter(({ role }) => role === 'NODE_ROLE_CONTROL');
      const pending = nodes.filter(({ controlPending }) => controlPending);
      return Promise.resolve({
        clusterId,
        term: reign.term,
        leaderNodeId: nodeId,
        controlNodes: controls.length,
        controlNodesPending: pending.length,
        workers: nodes.length - controls.length - pending.length,
        revision: store.revision,
        storeGeneration: store.generation,
        frozenReason: '',
        services: state.services.size,
        tasks: tasks.filter((task) => isWanted(task)).length,
        tasksRunning: tasks.filter((task) => isWanted(task) && isRunning(task)).length,
      });
    },
    CreateJoinToken: (request, context) =>
      audited(context, 'CreateJoinToken', request.role, () => createJoinToken(joining, request)),
    // Noted when done alone: anybody may ask, and refusals would wash what is in the audit out of it.
    async JoinNode(request, context) {
      const answer = await joinNode(joining, request, parts.viewOf);
      noteDeed(reign, context, { operation: 'JoinNode', object: request.nodeId, result: 'ok' });
      reign.leases.grantAll([request.nodeId]);
      reign.events.publish('node', 'join', request.nodeId, { name: request.hostname });
      return answer;
    },
    ListNodes({ node, pageSize, pageToken }) {
      const records = node === '' ? [...state.nodes.values()] : [findNode(reign, node)];
      const { items, nextPageToken } = pageOf(
        records,
        {
          keyOf: ({ nodeId: id }) => id,
          show: describe,
          sizeOf: (shown) => control.NodeCodec.encode(shown).length,
        },
        { pageSize, pageToken },
      );
      return Promise.resolve({ nodes: items, nextPageToken });
    },
    UpdateNode: (request, context) =>
      audited(context, 'UpdateNode', request.node, async () => ({
        node: describe(await updateNode(reign, request)),
      })),
    RemoveNode: ({ node, force }, context) =>
      audited(context, 'RemoveNode', node, async () => {
        await removeNode(reign, node, force);
        return {};
      }),
    DeployStack: (request, context) =>
      audited(context, 'DeployStack', request.name, () => deployStack(reign, request)),
    ListStacks() {
      const stacks = [...state.stacks.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      return Promise.resolve({
        stacks: stacks.map((stack) => {
          const services = [...state.services.values()].filter((one) => one.stack === stack.name);
          const all = services.map(progress);
          return {
            name: stack.name,
            services: services.length,
            tasksWanted: all.reduce((sum, { wanted }) => sum + wanted, 0),
            tasksRunning: all.reduce((sum, { running, runningOld }) => sum + running + runningOld, 0),
            version: stack.version,
            updatedUnixMs: stack.updatedUnixMs,
            removing: stack.removing,
          };
        }),
      });
    },
    RemoveStack: ({ name }, context) => audited(context, 'RemoveStack', name, () => removeStack(reign, name)),
    ListServices({ stack, pageSize, pageToken }) {
      if (stack !== '') needStack(reign, stack, 'ListServices');
      const services = [...state.services.values()].filter((one) => stack === '' || one.stack === stack);
      const { items, nextPageToken } = pageOf(
        services,
        {
          keyOf: nameOf,
          show: progress,
          sizeOf: (shown) => control.ServiceProgressCodec.encode(shown).length,
        },
        { pageSize, pageToken },
      );
      return Promise.resolve({ services: items, nextPageToken });
    },
    InspectService({ service }) {
      const found = findService(reign, service);
      return Promise.resolve({ service: found, progress: progress(found) });
    },
    UpdateService: (request, context) =>
      audited(context, 'UpdateService', request.service, () => updateService(reign, request)),
    RemoveService: ({ service }, context) =>
      audited(context, 'RemoveService', service, async () => {
        await removeService(reign, service);
        return {};
      }),
    WatchRollout: (request, { signal }) => watchRollout(reign, request, signal),
    ListTasks({ stack, service, node, runningOnly, pageSize, pageToken }) {
      if (stack !== '') needStack(reign, stack, 'ListTasks');
      const found =
        service !== ''
          ? state.tasks.ofService(findService(reign, service).id)
          : node !== ''
            ? state.tasks.ofNode(findNode(reign, node).nodeId)
            : state.tasks.all();
      const tasks = found.filter(
        (task) =>
          (stack === '' || task.stack === stack) && (!runningOnly || (isWanted(task) && !hasEnded(task))),
      );
      const { items, nextPageToken } = pageOf(
        tasks,
        {
          keyOf: sortKeyOf,
          show: (task) => ({ ...task, status: { ...task.status, state: stateOf(task) } }),
          sizeOf: (shown) => control.TaskCodec.encode(shown).length,
        },
        { pageSize, pageToken },
      );
      return Promise.resolve({ tasks: items, nextPageToken });
    },
    ReadTaskLogs: (request, { signal }) => readTaskLogs({ bus, state }, request, signal),
    async *WatchClusterEvents({ sinceUnixNanos }, { signal }) {
      for await (const event of reign.events.watch(sinceUnixNanos, AbortSignal.any([signal, reign.signal])))
        yield { event };
    },
    async ListAuditEntries({ limit }) {
      return { entries: await store.readAudit(Math.min(limit === 0 ? 100 : limit, 1_000)) };
    },
    CreateApiToken: (request, context) =>
      audited(context, 'CreateApiToken', request.name, () => createApiToken(joining, request)),
    ListApiTokens: () => Promise.resolve({ tokens: listApiTokens(joining) }),
    RevokeApiToken: ({ token }, context) =>
      audited(context, 'RevokeApiToken', token, async () => {
        await revokeApiToken(joining, token);
        return {};
      }),
    AcceptStore() {
      return Promise.reject(
        refusal('failed_precondition', 'AcceptStore', clusterId, 'the cluster is not frozen'),
      );
    },
  };
}

/** A node that leaves of itself. Two control nodes of three are worse than one: none of them leaves. */
export async function leaveCluster(reign: Reign, nodeId: string): Promise<void> {
  await reign.transact(() => {
    const record = reign.state.nodes.get(nodeId);
    const controls = [...reign.state.nodes.values()].filter(
      ({ role }) => role === 'NODE_ROLE_CONTROL',
    ).length;
    if (record?.role === 'NODE_ROLE_CONTROL' && controls > 1)
      throw refusal(
        'failed_precondition',
        'LeaveCluster',
        nodeId,
        `${record.hostname} is one of ${controls} control nodes: two of them would be worse than one, so it cannot leave`,
      );
    return { changes: removalOf(nodeId), result: undefined };
  });
  reign.leases.forget(nodeId);
  reign.nodeStatuses.delete(nodeId);
  reign.events.publish('node', 'leave', nodeId, {});
}

/** The nodes beside one, those that wait to be control nodes counted as such. */
function othersAsTheyWillBe({ nodes }: ClusterState, nodeId: string): control.NodeRecord[] {
  return [...nodes.values()]
    .filter((one) => one.nodeId !== nodeId)
    .map((one) => (one.controlPending ? { ...one, role: 'NODE_ROLE_CONTROL' } : one));
}

function needStack(reign: Reign, name: string, operation: string): void {
  if (!reign.state.stacks.has(name)) throw refusal('not_found', operation, name, `there is no stack ${name}`);
}

const nameOf = ({ stack, spec, id }: control.Service): string =>
  `${displayName(stack, spec?.name ?? '')} ${id}`;

/** By service, slot, newest first. */
const sortKeyOf = ({ stack, serviceName, slot, createdUnixMs, id }: control.Task): string =>
  `${displayName(stack, serviceName)} ${String(slot).padStart(6, '0')} ${String(9e15 - createdUnixMs).padStart(16, '0')} ${id}`;
