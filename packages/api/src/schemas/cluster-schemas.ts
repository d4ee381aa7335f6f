import type { control } from '@gantry/protocol';
import { containerSpecSchema } from './container-schemas.js';
import {
  closed,
  flag,
  list,
  message,
  oneOf,
  text,
  textMap,
  texts,
  uint32,
  uint64,
  unixNanos,
} from './schema.js';

/** What people write, and what the messages say. */
export const roleNames = { worker: 'NODE_ROLE_WORKER', control: 'NODE_ROLE_CONTROL' } as const;
export const availabilityNames = { active: 'AVAILABILITY_ACTIVE', drain: 'AVAILABILITY_DRAIN' } as const;

const port = (description: string): ReturnType<typeof uint32> => uint32(description, { maximum: 65535 });

export const joinNodeSchema = message<control.JoinNodeRequest>(
  {
    token: text('join token', { maxLength: 256 }),
    nodeId: text('16 hex digits'),
    certificateRequest: text('PKCS#10, PEM', { maxLength: 16_384 }),
    busKey: text("public nkey of the node's agent"),
    address: text('where others reach it'),
    leafPort: port('of its bus for workers'),
    routePort: port('of its bus for control nodes'),
    apiPort: port('of its api over TLS'),
    hostname: text('name of the machine'),
    version: text('release of Gantry'),
    clockUnixMs: { type: 'integer', description: 'its clock, milliseconds since 1970' },
  },
  ['token', 'nodeId', 'certificateRequest', 'busKey'],
);

export const credentialsSchema = list(
  message<control.RegistryCredential>(
    {
      registry: text('HOST or HOST:PORT; docker.io for the hub', { minLength: 1 }),
      username: text('who pulls'),
      password: text('never shown again'),
    },
    ['registry'],
  ),
  'for pulls of these images',
);

const serviceSpecSchema = message<control.ServiceSpec>(
  {
    name: text("without the stack's: web", { minLength: 1 }),
    mode: oneOf(
      ['SERVICE_MODE_UNSPECIFIED', 'SERVICE_MODE_REPLICATED', 'SERVICE_MODE_GLOBAL'],
      'absent means replicated',
    ),
    replicas: uint32('tasks of a replicated service'),
    container: containerSpecSchema,
    reservation: message<control.Reservation>({
      cpuMillis: uint64('thousandths of a CPU set aside'),
      memoryBytes: uint64('memory set aside'),
    }),
    placement: message<control.Placement>({
      constraints: list(
        message<control.Constraint>(
          {
            key: text(
              'node.id, node.hostname, node.role, node.platform.os, node.platform.arch, node.labels.NAME',
            ),
            operator: oneOf(['==', '!='], 'equal or not'),
            value: text('compared with'),
          },
          ['key', 'operator', 'value'],
        ),
        'all must hold',
      ),
      spread: texts('keys as in constraints: even over the values of the first, then of the next'),
      maxReplicasPerNode: uint32('0 means no maximum'),
    }),
    update: message<control.UpdateConfig>({
      parallelism: uint32('tasks replaced at a time; 0 means all'),
      delayMs: uint64('between two groups'),
      failureAction: oneOf(['', 'pause', 'continue', 'rollback'], 'empty means pause'),
      monitorMs: uint64('a task that fails within this time counts as failed; absent means 5,000'),
      maxFailureRatio: { type: 'number', minimum: 0, maximum: 1, description: 'share that may fail' },
      order: oneOf(['', 'stop-first', 'start-first'], 'empty means stop-first'),
    }),
    labels: textMap('of the service, not of its containers'),
    pullPolicy: oneOf(['', 'always', 'missing', 'never'], 'empty means missing'),
  },
  ['name', 'container'],
);

export const deployStackSchema = closed(
  {
    services: list(serviceSpecSchema, 'what the stack is to be'),
    prune: flag('remove services that are not named'),
    credentials: credentialsSchema,
    expectedVersion: uint64('refuse when the stack has another version by now'),
  },
  ['services'],
);

export interface LogQuery {
  follow?: boolean;
  tail?: number;
  sinceUnixNanos?: number;
}

export const logQuery = closed({
  follow: flag('go on with what is written from now'),
  tail: uint64('number of last lines of each task; absent means all'),
  sinceUnixNanos: unixNanos('not before'),
});
