import { control } from '@gantry/protocol';
import type { Condition, NodeView } from '../placement.js';

/** Short builders of what control's functions look at. */

export function makeNode(
  id: string,
  {
    condition = 'ready',
    status = {},
    ...record
  }: Partial<control.NodeRecord> & {
    readonly condition?: Condition;
    readonly status?: Partial<control.NodeStatus>;
  } = {},
): NodeView {
  return {
    id,
    condition,
    record: control.NodeRecordCodec.decode(
      control.NodeRecordCodec.encode({
        nodeId: id,
        role: 'NODE_ROLE_WORKER',
        availability: 'AVAILABILITY_ACTIVE',
        hostname: id,
        ...record,
      }),
    ),
    status: control.NodeStatusCodec.decode(
      control.NodeStatusCodec.encode({
        hostname: id,
        operatingSystem: 'linux',
        architecture: 'amd64',
        cpuMillis: 4_000,
        memoryBytes: 8e9,
        ...status,
      }),
    ),
  };
}

type SpecParts = Parameters<typeof control.ServiceSpecCodec.encode>[0];

export const makeSpec = (parts: SpecParts = {}): control.ServiceSpec =>
  control.ServiceSpecCodec.decode(
    control.ServiceSpecCodec.encode({
      name: 'web',
      mode: 'SERVICE_MODE_REPLICATED',
      replicas: 1,
      container: { image: 'busybox', restartPolicy: { name: 'always' } },
      ...parts,
    }),
  );

export function makeService(
  id: string,
  spec: SpecParts = {},
  parts: Partial<control.Service> = {},
): control.Service {
  return {
    ...control.ServiceCodec.decode(
      control.ServiceCodec.encode({ id, version: 1, taskVersion: 1, createdUnixMs: 1 }),
    ),
    spec: makeSpec(spec),
    ...parts,
  };
}

export function makeTask(
  id: string,
  service: control.Service,
  parts: Partial<control.Task> = {},
): control.Task {
  return {
    ...control.TaskCodec.decode(
      control.TaskCodec.encode({
        id,
        serviceId: service.id,
        stack: service.stack,
        serviceName: service.spec?.name ?? '',
        slot: service.spec?.mode === 'SERVICE_MODE_GLOBAL' ? 0 : 1,
        serviceVersion: service.taskVersion,
        desired: 'DESIRED_STATE_RUNNING',
        createdUnixMs: 1,
      }),
    ),
    spec: service.spec,
    ...parts,
  };
}

export const makeStatus = (
  state: control.TaskState,
  parts: Partial<control.TaskStatus> = {},
): control.TaskStatus => ({
  ...control.TaskStatusCodec.decode(control.TaskStatusCodec.encode({ state })),
  ...parts,
});
