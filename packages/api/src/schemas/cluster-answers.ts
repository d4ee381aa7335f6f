import type { control, node } from '@gantry/protocol';
import { closed, flag, list, message, text, textMap, texts, uint32, uint64, type Schema } from './schema.js';

const unixMs = (description: string): Schema => ({
  type: 'integer',
  description: `${description}, milliseconds since 1970`,
});
/** Described by what the contracts call it: proto/gantry/control/v1. */
const anyOf = (description: string): Schema => ({ type: 'object', additionalProperties: true, description });

const hostPort = message<control.HostPort>({
  port: uint32('port'),
  protocol: text('tcp or udp'),
  address: text('empty means all'),
});

const clusterNode = message<control.Node>({
  record: message<control.NodeRecord>({
    nodeId: text('16 hex digits'),
    role: text('NODE_ROLE_WORKER or NODE_ROLE_CONTROL'),
    availability: text('AVAILABILITY_ACTIVE or AVAILABILITY_DRAIN'),
    labels: textMap('labels'),
    address: text('where others reach it'),
    leafPort: uint32('bus, for workers'),
    routePort: uint32('bus, for control nodes'),
    apiPort: uint32('api over TLS; 0 for none'),
    busKey: text('public nkey of its agent'),
    joinedUnixMs: unixMs('joined'),
    hostname: text('when it joined'),
    controlPending: flag('a worker until there are three control nodes'),
    maintenance: flag('it has announced that it goes down on purpose'),
  }),
  status: anyOf('NodeStatus: what the node last told of itself; absent before'),
  condition: text('NODE_CONDITION_READY, _RESTARTING, _LOST or _UNKNOWN'),
  leader: flag('leads the cluster'),
  reservedCpuMillis: uint64('of tasks placed here'),
  reservedMemoryBytes: uint64('of tasks placed here'),
  taskCount: uint32('tasks placed here'),
});

const updateStatus = message<control.UpdateStatus>({
  state: text('empty, updating, paused, completed, rolling_back or rolled_back'),
  message: text('why'),
  startedUnixMs: unixMs('began'),
  completedUnixMs: unixMs('ended'),
});

const progress = message<control.ServiceProgress>({
  serviceId: text('id'),
  stack: text('empty for none'),
  name: text("without the stack's"),
  mode: text('SERVICE_MODE_REPLICATED or SERVICE_MODE_GLOBAL'),
  wanted: uint32('tasks'),
  running: uint32('of the newest version, healthy'),
  runningOld: uint32('of older versions'),
  problems: texts('why tasks do not run'),
  updateStatus,
  image: text('image'),
  ports: list(hostPort, 'published'),
});

const rollout = message<control.WatchRolloutResponse>({
  services: list(progress, 'how far each is'),
  converged: flag('last line: all runs as wanted'),
  failed: text('last line: why it does not'),
});

const service = message<control.Service>({
  id: text('id'),
  stack: text('empty for none'),
  spec: anyOf('ServiceSpec'),
  version: uint64('of the spec'),
  previousSpec: anyOf('ServiceSpec before, for rollback'),
  previousTaskVersion: uint64('that tasks of it carry'),
  taskVersion: uint64('that tasks of this spec carry'),
  updateStatus,
  createdUnixMs: unixMs('created'),
  updatedUnixMs: unixMs('changed'),
  removing: flag('its tasks are being stopped'),
});

const tasks = closed({ tasks: list(anyOf('Task: spec, node, desired and observed state'), 'tasks') });
const services = closed({ services: list(progress, 'services') });
const logLine = closed({
  taskId: text('task'),
  taskName: text('STACK_SERVICE.SLOT'),
  nodeId: text('where'),
  stream: text('stdout or stderr'),
  timeUnixNanos: { type: 'number', description: 'nanoseconds since 1970' },
  data: text('base64'),
  warning: text('alone in its line: a node whose output cannot be had'),
});
const apiToken = closed({
  id: text('id'),
  name: text('name'),
  role: text('admin, read or metrics'),
  createdUnixMs: unixMs('created'),
  expiresUnixMs: unixMs('0 means never; ends'),
});

/** Answers of the cluster's routes, by method and path; see `answers.ts`. */
export const clusterAnswers: Readonly<Record<string, Schema>> = {
  'GET /v1/cluster': message<control.GetClusterResponse>({
    clusterId: text('cluster'),
    term: uint64('grows with every change of leader'),
    leaderNodeId: text('leader'),
    controlNodes: uint32('that take part'),
    controlNodesPending: uint32('that wait for a third'),
    workers: uint32('workers'),
    revision: uint64('of the store'),
    storeGeneration: uint64('of the store'),
    frozenReason: text('why nothing is decided; empty when all is well'),
    services: uint32('services'),
    tasks: uint32('tasks'),
    tasksRunning: uint32('of them running'),
  }),
  'GET /v1/cluster/membership': message<node.GetMembershipResponse>({
    nodeId: text('this node'),
    clusterId: text('empty outside a cluster'),
    role: text('NODE_ROLE_WORKER or NODE_ROLE_CONTROL'),
    controlPending: flag('a worker until there are three control nodes'),
    address: text('where others reach it'),
    connected: flag('its lease runs'),
    leaderNodeId: text('leader, as last heard'),
    frozenReason: text('why this node takes no orders'),
    apiPort: uint32('api over TLS'),
    certificatePath: text('PEM'),
    keyPath: text('PEM'),
    caPath: text('PEM'),
    tasks: uint32('on this node'),
  }),
  'POST /v1/cluster/init': message<node.InitClusterResponse>({
    clusterId: text('cluster'),
    address: text('where others reach this node'),
  }),
  'POST /v1/cluster/join': message<node.JoinClusterResponse>({
    clusterId: text('cluster'),
    role: text('role it has now'),
    controlPending: flag('a worker until there are three control nodes'),
  }),
  'POST /v1/cluster/tokens': message<control.CreateJoinTokenResponse>({
    token: text('shown once'),
    expiresUnixMs: unixMs('ends'),
    addresses: texts('ADDRESS:PORT of control nodes'),
  }),
  'POST /v1/cluster/members': anyOf('JoinNodeResponse: certificate, authority, view of the cluster'),
  'POST /v1/cluster/accept-store': closed({ storeGeneration: uint64('new generation') }),
  'GET /v1/cluster/audit': closed({
    entries: list(
      message<control.AuditEntry>({
        timeUnixMs: unixMs('when'),
        actor: text('root on NODE, or token NAME'),
        operation: text('method'),
        object: text('of what'),
        result: text('ok or an error code'),
        requestId: text('finds it in the logs'),
      }),
      'newest first',
    ),
  }),
  'GET /v1/nodes': closed({ nodes: list(clusterNode, 'nodes') }),
  'GET /v1/nodes/:node': clusterNode,
  'PATCH /v1/nodes/:node': clusterNode,
  'GET /v1/stacks': closed({
    stacks: list(
      message<control.StackSummary>({
        name: text('name'),
        services: uint32('services'),
        tasksWanted: uint32('wanted'),
        tasksRunning: uint32('running'),
        version: uint64('grows with every deploy'),
        updatedUnixMs: unixMs('changed'),
        removing: flag('its tasks are being stopped'),
      }),
      'stacks',
    ),
  }),
  'PUT /v1/stacks/:stack': closed({
    stack: anyOf('Stack'),
    created: texts('services'),
    updated: texts('services'),
    unchanged: texts('services'),
    removed: texts('services'),
  }),
  'DELETE /v1/stacks/:stack': closed({ services: texts('removed') }),
  'GET /v1/stacks/:stack/services': services,
  'GET /v1/stacks/:stack/tasks': tasks,
  'GET /v1/stacks/:stack/rollout': rollout,
  'GET /v1/stacks/:stack/logs': logLine,
  'GET /v1/services': services,
  'GET /v1/services/:service': closed({ service, progress }),
  'PATCH /v1/services/:service': closed({ service }),
  'GET /v1/services/:service/tasks': tasks,
  'GET /v1/services/:service/rollout': rollout,
  'GET /v1/services/:service/logs': logLine,
  'GET /v1/tasks': tasks,
  'GET /v1/tasks/:task/logs': logLine,
  'GET /v1/api-tokens': closed({ tokens: list(apiToken, 'tokens') }),
  'POST /v1/api-tokens': closed({ token: text('shown once'), stored: apiToken }),
};

export const clusterCreatedRoutes: readonly string[] = [
  'POST /v1/cluster/init',
  'POST /v1/cluster/tokens',
  'POST /v1/api-tokens',
];
