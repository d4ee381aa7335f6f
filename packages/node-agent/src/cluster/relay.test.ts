import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectCluster, type CallContext } from '@gantry/bus';
import { GantryError, control } from '@gantry/protocol';
import { ScriptedControl, TestServer, busMetrics } from '../testing/scripted-control.js';
import { callContext } from '../testing/scripted-member.js';
import { createRelay, type RelayPlace } from './relay.js';

const { GetClusterRequestCodec } = control;
const ask = GetClusterRequestCodec.decode(GetClusterRequestCodec.encode({}));

test('outside a cluster, and on a worker, control is not asked, and the refusal says what to do', async () => {
  await assert.rejects(createRelay(() => undefined).GetCluster(ask, callContext()), {
    code: 'failed_precondition',
    message: 'this node is in no cluster: run gantry cluster init, or gantry cluster join',
  });
  const worker: RelayPlace = {
    role: 'worker',
    controlAddresses: ['192.0.2.9:4330', '[2001:db8::1]:4330'],
    bus: undefined,
    connected: true,
  };
  await assert.rejects(createRelay(() => worker).GetCluster(ask, callContext()), {
    code: 'failed_precondition',
    message: 'this node is a worker; ask a control node (192.0.2.9:4330, [2001:db8::1]:4330)',
  });
});

test('calls and streams reach the leader with request id and actor, and its errors come back as they are', async (t) => {
  const server = await TestServer.start();
  const leader = await ScriptedControl.start(server.url);
  const bus = await connectCluster('agent', {
    nodeId: 'node',
    natsUrl: server.url,
    nkeySeed: '',
    metrics: busMetrics,
  });
  t.after(async () => {
    await bus.close();
    await leader[Symbol.asyncDispose]();
    await server.stop();
  });
  let connected = true;
  const relay = createRelay(() => ({ role: 'control', controlAddresses: [], bus, connected }));
  const heard: CallContext[] = [];
  let cancelled = false;
  leader.answers = {
    GetCluster: (_request, context) => {
      heard.push(context);
      return Promise.resolve({ clusterId: 'c1', term: 7 });
    },
    RemoveStack: ({ name }) =>
      Promise.reject(
        new GantryError({
          code: 'not_found',
          operation: 'RemoveStack',
          object: name,
          message: `no stack ${name}`,
        }),
      ),
    async *WatchRollout(request, { signal }) {
      yield { failed: request.stack };
      await new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          cancelled = true;
          resolve();
        }),
      );
    },
  };
  const answer = await relay.GetCluster(ask, callContext({ requestId: 'r1', actor: 'token deploy' }));
  assert.equal(answer.term, 7);
  assert.equal(heard[0]?.requestId, 'r1');
  assert.equal(heard[0]?.actor, 'token deploy');
  assert.equal(heard[0]?.subject, 'gantry.v1.control.node.GetCluster');
  await assert.rejects(relay.RemoveStack({ name: 'shop' }, callContext()), {
    code: 'not_found',
    object: 'shop',
    message: 'no stack shop',
  });
  const gone = new AbortController();
  for await (const progress of relay.WatchRollout(
    { stack: 'shop', service: '' },
    callContext({ signal: gone.signal }),
  )) {
    assert.equal(progress.failed, 'shop');
    break;
  }
  for (let look = 0; look < 400 && !cancelled; look += 1)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(cancelled, 'leaving the stream reaches the leader');
  await leader.resign();
  connected = false;
  await assert.rejects(relay.GetCluster(ask, callContext({ deadlineMs: 300 })), {
    code: 'unavailable',
    message: /^the cluster has no leader now/,
  });
});
