import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  agentInbox,
  agentSubject,
  controlInbox,
  controlInboxFor,
  controlSubject,
  storeInbox,
} from '@gantry/bus';
import { createAuthority } from '@gantry/membership/certificates';
import { control } from '@gantry/protocol';
import type { NatsConnection } from 'nats';
import { loadBusKey } from '../identity.js';
import { clusterUsers } from '../member.js';
import {
  clusterId,
  enter,
  eventually,
  makeHost,
  quietLogger,
  render,
  start,
  viewOf,
  type Host,
} from '../testing/cluster-host.js';
import { serverName, serverPaths } from './server-config.js';
import { NatsSupervisor } from './supervisor.js';

interface LeafListing {
  readonly data: { readonly leafs?: readonly { readonly name: string; readonly account: string }[] };
}

test('a worker reaches control under its own name and nothing else, on its server and through it', async (t) => {
  const authority = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const worker = await makeHost(t, authority, 'bbbbbbbbbbbbbbbb', 'worker');
  const other = await makeHost(t, authority, 'cccccccccccccccc', 'worker');
  const view = viewOf([hub, worker, other]);
  await start(hub, view);
  await start(worker, view);
  const leader = await enter(t, hub, clusterUsers.control, storeInbox(hub.nodeId));
  const heard: string[] = [];
  leader.subscribe(controlSubject('*', '*'), {
    callback: (_error, message) => {
      heard.push(message.subject);
      message.respond('yes');
    },
  });
  const agent = await enter(t, worker, clusterUsers.agent, agentInbox(worker.nodeId));
  const renew = controlSubject(worker.nodeId, 'RenewLease');
  await eventually('the leaf is connected', async () =>
    (await agent.request(renew, '', { timeout: 500 })).string(),
  );

  // What the worker's own server would refuse is tried at the hub, as a worker whose server was tampered with would.
  const bare = await makeHost(t, authority, worker.nodeId, 'worker');
  const rogue = await makeRogueLeaf(t, bare, hub, worker);
  await eventually('the rogue leaf is connected', async () =>
    (await rogue.request(renew, '', { timeout: 500 })).string(),
  );
  heard.length = 0;
  const forbidden = [
    controlSubject(other.nodeId, 'RenewLease'),
    controlSubject(other.nodeId, 'WatchTasks'),
    controlSubject(hub.nodeId, 'DeployStack'),
    ...Object.keys(control.Control.methods).map((method) => controlSubject(worker.nodeId, method)),
    agentSubject(other.nodeId, 'ReadTaskOutput'),
    `${agentInbox(other.nodeId)}.x`,
    `${controlInboxFor(hub.nodeId, other.nodeId)}.x`,
    `${controlInboxFor(hub.nodeId, hub.nodeId)}.x`,
    `${controlInbox(hub.nodeId)}.x`,
    `${storeInbox(hub.nodeId)}.x`,
    '$JS.API.INFO',
    '$JS.API.STREAM.NAMES',
    '$KV.gantry-1.meta',
    '$SYS.REQ.SERVER.PING',
    `gantry.v1.node.${hub.nodeId}.spawner.StartContainer`,
    '$SRV.PING',
  ];
  const spoken: string[] = [];
  for (const inbox of [controlInbox(hub.nodeId), storeInbox(hub.nodeId)])
    leader.subscribe(`${inbox}.>`, { callback: (_e, m) => spoken.push(m.subject) });
  await leader.flush();
  const listener = await enter(t, hub, clusterUsers.agent, agentInbox(hub.nodeId));
  for (const subject of forbidden)
    await assert.rejects(rogue.request(subject, '', { timeout: 300 }), /503|TIMEOUT|PERMISSIONS/, subject);
  assert.deepEqual(heard, []);
  assert.equal(spoken.join(), '');
  const own = `${controlInboxFor(hub.nodeId, worker.nodeId)}.x`;
  rogue.publish(own);
  await eventually('its own words are heard', () => Promise.resolve(spoken.includes(own) ? true : undefined));

  const eavesdropped: string[] = [];
  for (const subject of [
    '>',
    controlSubject('*', '*'),
    agentSubject(other.nodeId, '*'),
    `${agentInbox(other.nodeId)}.>`,
    `${controlInbox(hub.nodeId)}.>`,
    `${storeInbox(hub.nodeId)}.>`,
    '$KV.>',
  ])
    rogue.subscribe(subject, {
      callback: (_e, m) =>
        void (m.subject.startsWith(agentInbox(worker.nodeId)) || eavesdropped.push(m.subject)),
    });
  await rogue.flush();
  await sleep(200);
  leader.publish(agentSubject(other.nodeId, 'ReadTaskOutput'), 'secret');
  leader.publish(`${agentInbox(other.nodeId)}.x`, 'secret');
  await listener.request(controlSubject(hub.nodeId, 'ListNodes'), '', { timeout: 500 });
  await leader.flush();
  await sleep(200);
  assert.deepEqual(eavesdropped, []);
});

/** A worker's leaf with the right certificate and key, behind a server that grants its users everything. */
async function makeRogueLeaf(t: TestContext, bare: Host, hub: Host, worker: Host): Promise<NatsConnection> {
  const view = viewOf([hub, worker]);
  const config = JSON.parse(
    render(bare, view, { agentSeed: loadBusKey(worker.directory, clusterUsers.agent).seed }),
  ) as { accounts: { CLUSTER: { users: object[] } }; server_name: string };
  config.server_name = 'rogue';
  config.accounts.CLUSTER.users = [{ nkey: bare.busKey }];
  bare.supervisor = await NatsSupervisor.start({
    paths: serverPaths(bare.directory),
    port: bare.port,
    config: JSON.stringify(config),
    logger: quietLogger,
  });
  return enter(t, bare, clusterUsers.agent, agentInbox(worker.nodeId));
}

test('control sees through SYS which workers are connected, by the name of their server', async (t) => {
  const authority = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const worker = await makeHost(t, authority, 'bbbbbbbbbbbbbbbb', 'worker');
  const view = viewOf([hub, worker]);
  await start(hub, view);
  await start(worker, view);
  const sys = await enter(t, hub, clusterUsers.sys);
  const names = async (): Promise<string[]> => {
    const answer = await sys.request('$SYS.REQ.SERVER.PING.LEAFZ', '', { timeout: 500 });
    return (answer.json<LeafListing>().data.leafs ?? []).map(({ name }) => name);
  };
  await eventually('the worker is listed', async () =>
    (await names()).includes(serverName(worker.nodeId)) ? true : undefined,
  );
  await worker.supervisor?.stop();
  await eventually(
    'the worker is not listed',
    async () => ((await names()).length === 0 ? true : undefined),
    4_000,
  );
});

test('nobody is a leaf without a certificate and key of the cluster, and nobody a route without the secret', async (t) => {
  const authority = await createAuthority(clusterId);
  const foreign = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  // It listens for this one, which never comes.
  const absent = await makeHost(t, authority, 'ffffffffffffffff', 'control');
  const guesser = await makeHost(t, authority, 'dddddddddddddddd', 'control');
  const stranger = await makeHost(t, foreign, 'bbbbbbbbbbbbbbbb', 'worker');
  const unknown = await makeHost(t, authority, 'eeeeeeeeeeeeeeee', 'worker');
  await start(hub, viewOf([hub, absent, stranger]));
  await start(stranger, viewOf([hub, stranger]));
  await start(unknown, viewOf([hub, unknown]));
  await start(guesser, viewOf([hub, guesser]), { routeSecret: 'guessed' });
  const sys = await enter(t, hub, clusterUsers.sys);
  for (const end = performance.now() + 2_500; performance.now() < end; await sleep(100)) {
    const leaves = await sys.request('$SYS.REQ.SERVER.PING.LEAFZ', '', { timeout: 500 });
    assert.deepEqual(leaves.json<LeafListing>().data.leafs ?? [], []);
    const routes = await sys.request('$SYS.REQ.SERVER.PING.ROUTEZ', '', { timeout: 500 });
    assert.equal(routes.json<{ data: { num_routes: number } }>().data.num_routes, 0);
  }
});

test('three control nodes form one store with three copies, and a worker changes over when its hub is lost', async (t) => {
  const authority = await createAuthority(clusterId);
  const hosts = await Promise.all(
    ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb', 'cccccccccccccccc'].map((id) =>
      makeHost(t, authority, id, 'control'),
    ),
  );
  const worker = await makeHost(t, authority, 'dddddddddddddddd', 'worker');
  const view = viewOf([...hosts, worker]);
  await Promise.all([...hosts, worker].map((host) => start(host, view)));
  const [first, second] = hosts;
  assert.ok(first !== undefined && second !== undefined);
  const writer = await enter(t, first, clusterUsers.control, storeInbox(first.nodeId));
  const kv = await eventually('the store is made', () =>
    writer.jetstream().views.kv('gantry-1', { replicas: 3 }),
  );
  await kv.put('meta', 'x');
  const neighbours: string[] = [];
  const neighbour = await enter(t, second, 'spawner');
  neighbour.subscribe('$SRV.>', { callback: (_e, m) => neighbours.push(m.subject) });
  await neighbour.flush();
  const api = await enter(t, first, 'api');
  await assert.rejects(api.request('$SRV.PING', '', { timeout: 500 }), /503/);
  assert.deepEqual(neighbours, []);

  const agent = await enter(t, worker, clusterUsers.agent, agentInbox(worker.nodeId));
  for (const host of hosts) {
    const leader = await enter(t, host, clusterUsers.control, storeInbox(host.nodeId));
    leader.subscribe(controlSubject('*', '*'), {
      queue: 'test',
      callback: (_e, m) => m.respond(host.nodeId),
    });
  }
  const renew = controlSubject(worker.nodeId, 'RenewLease');
  const ask = async (): Promise<string> => (await agent.request(renew, '', { timeout: 300 })).string();
  await eventually('the worker reaches a control node', ask);
  await first.supervisor?.stop();
  await eventually('the worker reaches another', async () =>
    (await ask()) === first.nodeId ? undefined : true,
  );
  const reader = await enter(t, second, clusterUsers.control, storeInbox(second.nodeId));
  const value = await eventually('the store is there with two of three', async () =>
    (await (await reader.jetstream().views.kv('gantry-1', { bindOnly: true })).get('meta'))?.string(),
  );
  assert.equal(value, 'x');
});

test('members come and go without anybody else losing a connection or the store, and who goes is cut off at once', async (t) => {
  const authority = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const worker = await makeHost(t, authority, 'bbbbbbbbbbbbbbbb', 'worker');
  const other = await makeHost(t, authority, 'cccccccccccccccc', 'worker');
  await start(hub, viewOf([hub]));
  const pid = hub.supervisor?.pid;
  const leader = await enter(t, hub, clusterUsers.control, storeInbox(hub.nodeId));
  let lost = 0;
  void (async () => {
    for await (const { type } of leader.status()) if (type === 'disconnect') lost += 1;
  })();
  const kv = await leader.jetstream().views.kv('gantry-1');
  await kv.put('meta', 'x');
  const view = viewOf([hub, worker, other]);
  await hub.supervisor?.reconfigure(render(hub, view));
  await start(worker, view);
  await start(other, view);
  leader.subscribe(controlSubject('*', '*'), { callback: (_e, m) => m.respond('yes') });
  const asks = async (host: Host): Promise<() => Promise<string>> => {
    const agent = await enter(t, host, clusterUsers.agent, agentInbox(host.nodeId));
    const subject = controlSubject(host.nodeId, 'RenewLease');
    return async () => (await agent.request(subject, '', { timeout: 300 })).string();
  };
  const [ask, askOther] = [await asks(worker), await asks(other)];
  await eventually('both are connected', async () => (await ask()) + (await askOther()));
  await hub.supervisor?.reconfigure(render(hub, viewOf([hub, worker])));
  // At once, not at its next lease; and it does not come back.
  await assert.rejects(askOther());
  await sleep(2_000);
  await assert.rejects(askOther());
  assert.equal(await ask(), 'yes');
  assert.equal(hub.supervisor?.pid, pid);
  assert.equal((await kv.get('meta'))?.string(), 'x');
  await kv.put('meta', 'y');
  assert.equal(lost, 0);
});

test('a control node beside two others takes members in and drops them by a reload too', async (t) => {
  const authority = await createAuthority(clusterId);
  const hosts = await Promise.all(
    ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'].map((id) => makeHost(t, authority, id, 'control')),
  );
  const worker = await makeHost(t, authority, 'dddddddddddddddd', 'worker');
  const [first, second] = hosts;
  assert.ok(first !== undefined && second !== undefined);
  await Promise.all(hosts.map((host) => start(host, viewOf(hosts))));
  const pids = hosts.map((host) => host.supervisor?.pid);
  const view = viewOf([...hosts, worker]);
  for (const host of hosts) await host.supervisor?.reconfigure(render(host, view));
  await start(worker, view);
  const leader = await enter(t, second, clusterUsers.control, storeInbox(second.nodeId));
  leader.subscribe(controlSubject('*', '*'), { callback: (_e, m) => m.respond('yes') });
  const agent = await enter(t, worker, clusterUsers.agent, agentInbox(worker.nodeId));
  const subject = controlSubject(worker.nodeId, 'RenewLease');
  await eventually('the worker is heard', async () =>
    (await agent.request(subject, '', { timeout: 300 })).string(),
  );
  assert.deepEqual(
    hosts.map((host) => host.supervisor?.pid),
    pids,
  );
});
