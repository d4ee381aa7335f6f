import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { createBusMetrics } from './bus-metrics.js';
import { Bus } from './bus.js';

test('a connecting that its signal ends rejects, and nothing is tried any more', async (t) => {
  let tries = 0;
  const server = createServer((socket) => {
    tries += 1;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const ending = new AbortController();
  const connecting = Bus.connect({
    name: 'agent',
    nodeId: 'node1',
    natsUrl: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    nkeySeed: '',
    metrics: createBusMetrics(new Registry()),
    signal: ending.signal,
  });
  const rejected = assert.rejects(connecting, { operation: 'connect' });
  for (let looks = 0; tries < 2 && looks < 200; looks += 1) await sleep(20);
  assert.ok(tries >= 2, 'it tries again');
  ending.abort();
  await rejected;
  const before = tries;
  await sleep(600);
  assert.equal(tries, before);
});
