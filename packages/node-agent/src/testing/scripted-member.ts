import type { CallContext } from '@gantry/bus';
import type { control, Init } from '@gantry/protocol';
import { nkeys } from 'nats';
import { Cluster } from '../cluster/cluster.js';
import { createMembership } from '../cluster/membership-service.js';
import { busMetrics, quietLogger } from './scripted-control.js';
import { ScriptedAgent } from './scripted-agent.js';

const keys = nkeys as { createUser(): { getSeed(): Uint8Array } };
export const agentSeed = Buffer.from(keys.createUser().getSeed()).toString();

let requests = 0;

/** What a handler is told of a call. */
export function callContext(change: Partial<CallContext> = {}): CallContext {
  return {
    requestId: `request-${(requests += 1)}`,
    caller: 'test',
    actor: 'root on test',
    subject: '',
    signal: AbortSignal.timeout(30_000),
    deadlineMs: 5_000,
    logger: quietLogger,
    ...change,
  };
}

/** A task as control assigns it. */
export function task(id: string, change: Init<control.Task> = {}): Init<control.Task> {
  return {
    id,
    serviceId: 's',
    stack: 'shop',
    serviceName: 'web',
    slot: 1,
    nodeId: 'node',
    desired: 'DESIRED_STATE_RUNNING',
    status: { state: 'TASK_STATE_ASSIGNED' },
    spec: { name: 'web', container: { image: 'box', restartPolicy: { name: 'on-failure' } } },
    ...change,
  };
}

/** A scripted agent with its side of a cluster. */
export class ScriptedMember implements AsyncDisposable {
  readonly world: ScriptedAgent;
  readonly cluster: Cluster;
  readonly membership: ReturnType<typeof createMembership>;
  readonly #natsUrl: string;

  constructor(natsUrl: string, world = new ScriptedAgent()) {
    this.#natsUrl = natsUrl;
    this.world = world;
    this.cluster = new Cluster(world.agent, { natsUrl, nkeySeed: '', busMetrics });
    this.membership = createMembership(this.cluster, agentSeed);
  }

  /** Makes it a member by files, as an earlier life left them. */
  enter(role: 'control' | 'worker' = 'worker'): void {
    const { nodeId } = this.world.agent.context;
    this.cluster.enter({
      record: {
        version: 1,
        clusterId: 'c1',
        nodeId,
        role,
        controlPending: false,
        address: '192.0.2.1',
        leafPort: 1,
        routePort: 2,
        apiPort: 3,
      },
      caCertificate: 'ca',
      certificate: 'cert',
      key: 'key',
      caKey: '',
      routeSecret: '',
      view: {
        clusterId: 'c1',
        storeGeneration: 1,
        revision: 0,
        seedingNodeId: '',
        apiTokens: [],
        members: [
          {
            nodeId: 'leader',
            role: 'NODE_ROLE_CONTROL',
            address: '192.0.2.9',
            leafPort: 1,
            routePort: 2,
            apiPort: 4330,
            busKey: '',
          },
        ],
      },
    });
  }

  /** The agent dies, containers run on, and another agent takes its place. */
  async successor(): Promise<ScriptedMember> {
    await this.cluster.stop();
    const next = new ScriptedMember(this.#natsUrl, await this.world.successor());
    await next.world.agent.reconciler.run();
    next.cluster.start();
    return next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.stop();
    await this.world[Symbol.asyncDispose]();
  }
}
