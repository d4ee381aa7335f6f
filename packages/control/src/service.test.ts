import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Bus } from '@gantry/bus';
import { membershipPaths, writeClusterFile } from '@gantry/membership';
import { createAuthority, createRequest } from '@gantry/membership/certificates';
import { control } from '@gantry/protocol';
import { nkeys } from 'nats';
import { controlHandlers, leaveCluster } from './service.js';
import { dispatchHandlers } from './dispatch.js';
import { makeNode } from './testing/models.js';
import { makeContext, makeScriptedReign, type ScriptedReign } from './testing/scripted-reign.js';

interface Made extends ScriptedReign {
  readonly handlers: ReturnType<typeof controlHandlers>;
  newToken(role: control.NodeRole): Promise<string>;
  join(number: number, token: string): Promise<unknown>;
}

/** The handlers of the leader of a cluster of one control node. */
async function makeCluster(t: TestContext): Promise<Made> {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'gantry-test-service-'));
  t.after(() => rmSync(stateDirectory, { recursive: true, force: true }));
  const paths = membershipPaths(stateDirectory);
  const authority = await createAuthority('c0ffee');
  writeClusterFile(paths.caCertificate, authority.certificate);
  writeClusterFile(paths.caKey, authority.key);
  writeClusterFile(paths.routeSecret, '5ec4e7\n');
  const scripted = makeScriptedReign();
  scripted.state.apply({
    kind: 'node',
    id: 'hub',
    value: makeNode('hub', { role: 'NODE_ROLE_CONTROL', address: '10.0.0.1' }).record,
  });
  const handlers = controlHandlers({
    reign: scripted.reign,
    nodeId: 'hub',
    version: '0.3.0',
    clusterId: 'c0ffee',
    stateDirectory,
    bus: {} as Bus,
    viewOf: () => control.ClusterViewCodec.decode(new Uint8Array()),
  });
  const { request } = await createRequest('n');
  return {
    ...scripted,
    handlers,
    newToken: async (role) =>
      (await handlers.CreateJoinToken({ role, ttlSeconds: 0 }, makeContext('hub', 'CreateJoinToken')))
        .token ?? '',
    join: (number, token) =>
      handlers.JoinNode(
        {
          token,
          nodeId: `n${number}`,
          certificateRequest: request,
          busKey: (nkeys as { createUser(): { getPublicKey(): string } }).createUser().getPublicKey(),
          address: `10.0.1.${number}`,
          leafPort: 4323,
          routePort: 4324,
          apiPort: 4330,
          hostname: `n${number}`,
          version: '0.3.0',
          clockUnixMs: Date.now(),
        },
        makeContext('hub', 'JoinNode'),
      ),
  };
}

test('with one control node and two that wait to be one, a cluster is full; workers still join', async (t) => {
  const made = await makeCluster(t);
  // Made before: a token alone promises no place.
  const late = await made.newToken('NODE_ROLE_CONTROL');
  for (const number of [1, 2]) await made.join(number, await made.newToken('NODE_ROLE_CONTROL'));
  await assert.rejects(made.join(3, late), {
    code: 'failed_precondition',
    message: /has its 3 control nodes: join as a worker/,
  });
  await made.join(3, await made.newToken('NODE_ROLE_WORKER'));
  assert.equal(made.state.nodes.size, 4);
});

test('the audit has joins that were done, none that were refused', async (t) => {
  const made = await makeCluster(t);
  const token = await made.newToken('NODE_ROLE_WORKER');
  made.audit.length = 0;
  await assert.rejects(made.join(1, 'nonsense'), { code: 'permission_denied' });
  assert.deepEqual(made.audit, []);
  await made.join(1, token);
  assert.deepEqual(
    made.audit.map(({ operation, object, result }) => [operation, object, result]),
    [['JoinNode', 'n1', 'ok']],
  );
});

test('a node that leaves is in the audit, also one that may not', async (t) => {
  const made = await makeCluster(t);
  const { record } = makeNode('second', { role: 'NODE_ROLE_CONTROL', address: '10.0.0.2' });
  made.state.apply({ kind: 'node', id: 'second', value: record });
  made.state.apply({ kind: 'node', id: 'w', value: makeNode('w').record });
  const { LeaveCluster } = dispatchHandlers({
    reign: made.reign,
    nodeId: 'hub',
    clusterId: 'c0ffee',
    leaseMs: 3_000,
    viewOf: () => control.ClusterViewCodec.decode(new Uint8Array()),
    behind: () => undefined,
    leave: (id) => leaveCluster(made.reign, id),
  });
  made.reign.nodeStatuses.set('w', makeNode('w').status ?? assert.fail());
  await LeaveCluster({}, makeContext('w', 'LeaveCluster'));
  // Should it come back, it is one that has not joined yet.
  assert.equal(made.reign.nodeStatuses.has('w'), false);
  await assert.rejects(async () => LeaveCluster({}, makeContext('second', 'LeaveCluster')), {
    code: 'failed_precondition',
  });
  assert.deepEqual(
    made.audit.map(({ operation, object, result, actor }) => [operation, object, result, actor]),
    [
      ['LeaveCluster', 'w', 'ok', 'w'],
      ['LeaveCluster', 'second', 'failed_precondition', 'second'],
    ],
  );
});
