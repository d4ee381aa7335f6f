import { eventSubject, inboxPrefix, methodSubject, serviceSubjects } from './subjects.js';

/** Every service of a node. */
export const nodeServices = [
  'image-store',
  'network-manager',
  'cgroup-supervisor',
  'spawner',
  'node-agent',
  'api',
] as const;
export type NodeService = (typeof nodeServices)[number];

/** Every user of a node's bus: the services, and gantryd for taking a node down. */
export const busUsers = [...nodeServices, 'gantryd'] as const;
export type BusUser = (typeof busUsers)[number];

/** All gantryd ever asks for: the steps of `gantry down`. */
const teardownMethods = [
  ['node-agent', 'StopAllContainers'],
  ['network-manager', 'TearDown'],
  ['cgroup-supervisor', 'TearDown'],
] as const satisfies readonly (readonly [NodeService, string])[];

interface Role {
  /** Services it may call. */
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
    ...role.calls.map((called) => serviceSubjects(nodeId, called)),
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
    ...(service === 'api' ? [] : [serviceSubjects(nodeId, service)]),
    '$SRV.>',
    ...role.hears.map((kind) => eventSubject(nodeId, kind)),
  ];
  return { publish: [...new Set(publish)], subscribe };
}
