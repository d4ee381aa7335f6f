import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';
import { connectedNodes } from './host-evidence.js';
import { startNatsForTest, type NatsForTest } from './testing/nats-for-test.js';

async function enterSys(t: TestContext, hub: NatsForTest): Promise<NatsConnection> {
  const connection = await connect({
    servers: hub.url,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(hub.sysKeySeed)),
    maxReconnectAttempts: -1,
  });
  t.after(() => connection.close());
  return connection;
}

async function eventually(what: string, look: () => Promise<boolean>, withinMs = 10_000): Promise<void> {
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; await sleep(50))
    if (await look()) return;
  throw new Error(`not within ${withinMs} ms: ${what}`);
}

test('the machine of a worker is there while its server is connected, and gone soon after it has died', async (t) => {
  const hub = await startNatsForTest(t, { name: 'gantry-hub' });
  const worker = await startNatsForTest(t, { name: 'gantry-worker', hub: hub.leafUrl });
  const sys = await enterSys(t, hub);
  await eventually('the worker is seen', async () => (await connectedNodes(sys, 1)).has('worker') === true);
  assert.ok((await connectedNodes(sys, 1)).has('hub'));
  await worker.kill();
  await eventually(
    'the worker is not seen',
    async () => (await connectedNodes(sys, 1)).has('worker') === false,
    3_000,
  );
});

test('nothing is known when the own server cannot be asked', async (t) => {
  const hub = await startNatsForTest(t, { name: 'gantry-hub' });
  const sys = await enterSys(t, hub);
  await hub.kill();
  await assert.rejects(connectedNodes(sys, 1), /does not say who is connected/);
});
