import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { alsoServed, type AlsoServed, type CallContext, type Handlers } from '@gantry/bus';
import { makeToken, secretFits, type NewToken } from '@gantry/membership';
import { createAuthority, createRequest, fingerprintOf, signRequest } from '@gantry/membership/certificates';
import { control, GantryError, node } from '@gantry/protocol';

interface Asked {
  readonly method: string;
  readonly request: unknown;
  readonly actor: string;
}

/** A node's place in a cluster, and a control that notes what it is asked: what the cluster's routes are tried with. */
export class ScriptedCluster {
  readonly asked: Asked[] = [];
  readonly caFile: string;
  /** By role; `owner` is none that there is. */
  readonly tokens: Readonly<Record<'admin' | 'read' | 'metrics' | 'owner', NewToken>>;
  /** 0 while the node is in no cluster. */
  port = 0;
  readonly #directory: string;

  private constructor(directory: string, tokens: ScriptedCluster['tokens']) {
    this.#directory = directory;
    this.caFile = join(directory, 'ca.pem');
    this.tokens = tokens;
  }

  static async make(parent: string): Promise<ScriptedCluster> {
    const directory = join(parent, 'cluster');
    mkdirSync(directory);
    const authority = await createAuthority('scripted');
    const { request, key } = await createRequest('node1');
    const certificate = await signRequest(authority, request, {
      nodeId: 'node1',
      address: '127.0.0.1',
      role: 'control',
    });
    writeFileSync(join(directory, 'ca.pem'), authority.certificate);
    writeFileSync(join(directory, 'node.pem'), certificate + authority.certificate);
    writeFileSync(join(directory, 'node.key'), key);
    const fingerprint = fingerprintOf(authority.certificate);
    const token = (): NewToken => makeToken('ga1', undefined, fingerprint);
    return new ScriptedCluster(directory, {
      admin: token(),
      read: token(),
      metrics: token(),
      owner: token(),
    });
  }

  served(): AlsoServed[] {
    return [
      alsoServed(node.Membership, this.#membership() as Handlers<typeof node.Membership>),
      alsoServed(control.Control, this.#control() as Handlers<typeof control.Control>),
    ];
  }

  #membership(): Partial<Handlers<typeof node.Membership>> {
    return {
      GetMembership: () =>
        Promise.resolve({
          nodeId: 'node1',
          clusterId: this.port === 0 ? '' : 'scripted',
          address: '127.0.0.1',
          apiPort: this.port,
          certificatePath: join(this.#directory, 'node.pem'),
          keyPath: join(this.#directory, 'node.key'),
        }),
      CheckApiToken: ({ id, secret }) => {
        for (const role of ['admin', 'read', 'metrics', 'owner'] as const) {
          const token = this.tokens[role];
          if (token.id === id && secretFits(secret, token.secretSha256))
            return Promise.resolve({ role, name: `the ${role}` });
        }
        return Promise.resolve({});
      },
      LeaveCluster: () => {
        this.port = 0;
        return Promise.resolve({});
      },
    };
  }

  #note(method: string): (request: unknown, context: CallContext) => Promise<object> {
    return (request, { actor }) => {
      this.asked.push({ method, request, actor });
      return Promise.resolve({});
    };
  }

  #control(): Record<string, unknown> {
    const noted = Object.keys(control.Control.methods).map((method) => [method, this.#note(method)] as const);
    return { ...Object.fromEntries(noted), ...this.#answering() };
  }

  #answering(): Partial<Handlers<typeof control.Control>> {
    return {
      ListNodes: ({ pageToken }) =>
        Promise.resolve(
          pageToken === ''
            ? { nodes: [scriptedNode('a', 'NODE_ROLE_CONTROL')], nextPageToken: 'more' }
            : { nodes: [scriptedNode('b', 'NODE_ROLE_WORKER')] },
        ),
      DeployStack: (request, { actor }) => {
        this.asked.push({ method: 'DeployStack', request, actor });
        if (request.expectedVersion === 7)
          throw new GantryError({
            code: 'failed_precondition',
            operation: 'DeployStack',
            object: request.name,
            message: `stack ${request.name} was changed meanwhile`,
          });
        return Promise.resolve({ stack: { name: request.name, version: 1 } });
      },
      ListApiTokens: () =>
        Promise.resolve({ tokens: [{ id: 'x', name: 'one', role: 'read', secretSha256: 'hidden' }] }),
      WatchRollout: async function* ({ stack }) {
        yield { services: [{ stack, name: 'web', wanted: 2, running: 1 }] };
        yield { services: [{ stack, name: 'web', wanted: 2, running: 2 }], converged: true };
      },
      ReadTaskLogs: async function* () {
        const entry = { stream: 'stdout', timeUnixNanos: 5, data: Buffer.from([0xff, 10]) };
        yield {
          entries: [{ taskId: 't', taskName: 'shop_web.1', nodeId: 'a', entry }],
          warnings: ['node b is lost'],
        };
      },
    };
  }
}

const scriptedNode = (nodeId: string, role: control.NodeRole): object => ({
  record: { nodeId, role, address: '192.0.2.1', apiPort: 4330, hostname: `host-${nodeId}` },
  status: { hostname: `host-${nodeId}`, services: [{ name: 'node-agent', version: '1' }] },
});
