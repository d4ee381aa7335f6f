import { control } from '@gantry/protocol';
import {
  agentInbox,
  agentSubject,
  controlInbox,
  controlInboxFor,
  controlSubject,
  eventSubject,
  inboxPrefix,
  methodSubject,
  serviceSubjects,
  storeInbox,
} from './subjects.js';

/** Every service of a node. */
export const nodeServices = [
  'image-store',
  'network-manager',
  'cgroup-supervisor',
  'spawner',
  'node-agent',
  'control',
  'api',
] as const;
export type NodeService = (typeof nodeServices)[number];

/** Services that only some nodes run. */
export const optionalServices: ReadonlySet<NodeService> = new Set<NodeService>(['control']);

/** Every user of a node's bus: the services, and gantryd for taking a node down. */
export const busUsers = [...nodeServices, 'gantryd'] as const;
export type BusUser = (typeof busUsers)[number];

/** All gantryd ever asks for: the steps of `gantry down`. */
const teardownMethods = [
  ['node-agent', 'StopAllContainers'],
  ['network-manager', 'TearDown'],
  ['cgroup-supervisor', 'TearDown'],
] as const satisfies readonly (readonly [NodeService, string])[];

/** Services that the node agent's process answers for beside its own: a node's place in its cluster, and the way to control. */
const servedByAgent = ['membership', 'control'] as const;

interface Role {
  /** Users it may call: under their own names, and under those that they answer for. */
  readonly calls: readonly NodeService[];
  /** Event kinds it may publish. */
  readonly publishes: readonly string[];
  /** Event kinds it may hear. */
  readonly hears: readonly string[];
}

/** Who may do what: the whole of a node's authority, from which nats-server's permissions are made. */
const roles: Readonly<Record<NodeService, Role>> = {
  'image-store': { calls: [], publishes: ['image'], hears: [] },
  'network-manager': { calls: [], publishes: [], hears: [] },
  'cgroup-supervisor': { calls: [], publishes: ['cgroup-oom'], hears: [] },
  spawner: { calls: [], publishes: ['process-exited'], hears: [] },
  'node-agent': {
    calls: ['image-store', 'network-manager', 'cgroup-supervisor', 'spawner'],
    publishes: ['container'],
    hears: ['process-exited', 'cgroup-oom', 'image'],
  },
  // Its work is in the account CLUSTER.
  control: { calls: [], publishes: [], hears: [] },
  api: {
    calls: ['node-agent', 'image-store', 'network-manager', 'cgroup-supervisor', 'spawner'],
    publishes: [],
    hears: ['container', 'image'],
  },
};

/** Publish and subscribe subjects of one user, as nats-server's configuration takes them. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Least privilege of one user on its node's bus. */
export function permissionsFor(user: BusUser, nodeId: string): Permissions {
  return user === 'gantryd' ? permissionsOfGantryd(nodeId) : permissionsOfService(user, nodeId);
}

function permissionsOfGantryd(nodeId: string): Permissions {
  return {
    publish: teardownMethods.map(([service, method]) => methodSubject(nodeId, service, method)),
    subscribe: [`${inboxPrefix('gantryd')}.>`],
  };
}

function permissionsOfService(service: NodeService, nodeId: string): Permissions {
  const role = roles[service];
  const callers: BusUser[] = nodeServices.filter((other) => roles[other].calls.includes(service));
  if (teardownMethods.some(([called]) => called === service)) callers.push('gantryd');
  const publish = [
    ...role.calls.flatMap((called) => answeredBy(nodeId, called)),
    // Answers to callers, and the input side of streams opened at services it calls.
    ...[...callers, ...role.calls].map((peer) => `${inboxPrefix(peer)}.>`),
    ...role.publishes.map((kind) => eventSubject(nodeId, kind)),
    // Health and metrics addresses of all services are asked through the NATS services API.
    // The api asks, and all answer, itself among them.
    ...(service === 'api' ? ['$SRV.PING', '$SRV.INFO', '$SRV.STATS'] : []),
    `${inboxPrefix('api')}.>`,
  ];
  const subscribe = [
    `${inboxPrefix(service)}.>`,
    ...(service === 'api' || service === 'control' ? [] : answeredBy(nodeId, service)),
    '$SRV.>',
    ...role.hears.map((kind) => eventSubject(nodeId, kind)),
  ];
  return { publish: [...new Set(publish)], subscribe };
}

function answeredBy(nodeId: string, service: NodeService): string[] {
  const also = service === 'node-agent' ? servedByAgent : [];
  return [service, ...also].map((name) => serviceSubjects(nodeId, name));
}

/** What the agent of any member may ask of control. */
const dispatcherMethods = Object.keys(control.Dispatcher.methods);

/**
 * A member's agent in the account CLUSTER: on a worker these bind its whole leaf connection, on the control nodes' side.
 * It asks under its own id only, answers only control, and listens only to what is meant for it.
 */
export function agentPermissions(nodeId: string, role: 'control' | 'worker'): Permissions {
  return {
    publish: [
      ...(role === 'control'
        ? [controlSubject(nodeId, '*')]
        : dispatcherMethods.map((method) => controlSubject(nodeId, method))),
      // Answers to control, and the input side of streams opened at it: for itself alone.
      `${controlInboxFor('*', nodeId)}.>`,
    ],
    subscribe: [`${agentInbox(nodeId)}.>`, agentSubject(nodeId, '*')],
  };
}

/** Control in the account CLUSTER, on its own node's server alone: the only user of the store. */
export function controlPermissions(nodeId: string): Permissions {
  return {
    publish: [agentSubject('*', '*'), `${agentInbox('*')}.>`, '$JS.API.>', '$JS.ACK.>', '$JS.FC.>', '$KV.>'],
    subscribe: [`${controlInbox(nodeId)}.>`, `${storeInbox(nodeId)}.>`, controlSubject('*', '*')],
  };
}
