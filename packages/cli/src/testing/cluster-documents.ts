import type { control } from '@gantry/protocol';

/** What control says of three nodes and a stack, with what a test wants otherwise. */
export function nodeDocument(
  hostname: string,
  more: { record?: Partial<control.NodeRecord> } & Partial<Omit<control.Node, 'record'>> = {},
): unknown {
  const { record, ...rest } = more;
  return {
    record: {
      nodeId: `id-of-${hostname}`,
      role: 'NODE_ROLE_WORKER',
      availability: 'AVAILABILITY_ACTIVE',
      labels: {},
      address: `192.0.2.${hostname.length}`,
      apiPort: 4330,
      hostname,
      controlPending: false,
      ...record,
    },
    status: { hostname, version: '0.1.0' },
    condition: 'NODE_CONDITION_READY',
    leader: false,
    taskCount: 0,
    ...rest,
  };
}

export function taskDocument(
  slot: number,
  nodeId: string,
  more: Partial<control.Task> & { readonly error?: string; readonly state?: control.TaskState } = {},
): unknown {
  const { error = '', state = 'TASK_STATE_RUNNING', ...rest } = more;
  return {
    id: `task${slot}aaaaaaaaaaaaaaaaaaaa`,
    stack: 'shop',
    serviceName: 'web',
    slot,
    nodeId,
    desired: 'DESIRED_STATE_RUNNING',
    status: { state, message: error, changedUnixMs: Date.now() - 180_000 },
    placementMessage: '',
    createdUnixMs: Date.now() - 200_000,
    spec: {
      container: { image: 'shop/web:4', ports: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
    },
    ...rest,
  };
}

export function progressDocument(more: Partial<control.ServiceProgress> = {}): unknown {
  return {
    serviceId: 'serviceaaaaaaaaaaaaaaaaaa',
    stack: 'shop',
    name: 'web',
    mode: 'SERVICE_MODE_REPLICATED',
    wanted: 3,
    running: 2,
    runningOld: 0,
    problems: [],
    image: 'shop/web:4',
    ports: [{ port: 8080, protocol: 'tcp', address: '' }],
    ...more,
  };
}
