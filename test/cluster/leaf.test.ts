import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describeOnCluster, type TestCluster } from '@gantry/test-harness';
import type { LeafFindings, LeafTrial } from './leaf-probe.js';
import { sleeper } from './observe.js';

const probe = fileURLToPath(new URL('leaf-probe.js', import.meta.url));
const inboxListener = fileURLToPath(new URL('inbox-listener.js', import.meta.url));
const intruderPort = 4390;

/** Somebody has taken over the second host wholly: its keys, its certificate, its place in the network. */
async function intrude(
  cluster: TestCluster,
  tries: Pick<LeafTrial, 'inbox' | 'requests' | 'subscribe'>,
): Promise<LeafFindings> {
  const host = cluster.host(1);
  const at = (name: string): string => join(host.stateDirectory, name);
  const trial: LeafTrial = {
    hub: `${cluster.addressOf(0)}:4323`,
    port: intruderPort,
    seed: readFileSync(at('keys/agent.nk'), 'utf8').trim(),
    certificate: at('cluster/node.pem'),
    key: at('cluster/node.key'),
    authority: at('cluster/ca.pem'),
    directory: cluster.directory,
    ...tries,
  };
  const output = await host.network.mustRun(process.execPath, [probe], { input: JSON.stringify(trial) });
  return JSON.parse(output) as LeafFindings;
}

/** Answers all that comes to the inboxes of a host's agent, as that agent: resolves when it listens. */
async function listenAsAgent(cluster: TestCluster, host: number): Promise<ChildProcess> {
  const node = cluster.host(host);
  const seed = readFileSync(join(node.stateDirectory, 'keys/agent.nk'), 'utf8').trim();
  const [program, words] = node.network.wrap(process.execPath, [
    inboxListener,
    String(node.natsPort),
    `_INBOX.agent.${cluster.nodeId(host)}`,
  ]);
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(seed);
  await once(child.stdout, 'data');
  return child;
}

describeOnCluster("a worker's credentials in wrong hands", ['worker', 'worker'], (getCluster) => {
  test("reach the worker's own subjects, and of everything else at the hub nothing", async () => {
    const cluster = getCluster();
    await cluster.deploy('watched', sleeper('app', 3));
    const [hub, own, other] = [0, 1, 2].map((host) => cluster.nodeId(host));
    const allowed = [`gantry.v1.control.${own}.RenewLease`, `gantry.v1.control.${own}.ReportStatus`];
    const forbidden = [
      // As another node, or the methods of those who administer.
      `gantry.v1.control.${other}.RenewLease`,
      `gantry.v1.control.${other}.ReportStatus`,
      `gantry.v1.control.${other}.WatchTasks`,
      `gantry.v1.control.${hub}.LeaveCluster`,
      ...['GetCluster', 'ListNodes', 'CreateJoinToken', 'DeployStack', 'CreateApiToken', 'AcceptStore'].map(
        (method) => `gantry.v1.control.${own}.${method}`,
      ),
      // Other nodes' agents and answers.
      `gantry.v1.agent.${other}.ReadTaskOutput`,
      `gantry.v1.agent.${hub}.ReadTaskOutput`,
      `_INBOX.agent.${other}.anything`,
      // The store.
      '$JS.API.INFO',
      '$JS.API.STREAM.NAMES',
      '$JS.API.STREAM.MSG.GET.KV_gantry-1',
      '$JS.API.STREAM.DELETE.KV_gantry-1',
      '$JS.API.DIRECT.GET.KV_gantry-1',
      '$KV.gantry-1.leader',
      // The server itself, and what never leaves a node.
      '$SYS.REQ.SERVER.PING',
      '$SYS.REQ.ACCOUNT.CLUSTER.CONNZ',
      '$SRV.PING',
      `gantry.v1.node.${hub}.node-agent.ListContainers`,
    ];
    const inbox = `_INBOX.agent.${own}`;
    const mine = `${inbox}.>`;
    const deaf = [
      `gantry.v1.agent.${other}.>`,
      `_INBOX.agent.${other}.>`,
      `_INBOX.agent.${hub}.>`,
      `_INBOX.control.${hub}.>`,
      '_INBOX.control.>',
      'gantry.v1.control.*.RenewLease',
      'gantry.v1.control.>',
      '$KV.>',
      '$JS.>',
      '$SYS.>',
      '_INBOX.>',
    ];
    const listener = await listenAsAgent(cluster, 2);
    const { requests, received } = await intrude(cluster, {
      inbox,
      requests: [...allowed, ...forbidden],
      subscribe: [mine, ...deaf],
    }).finally(() => listener.kill('SIGKILL'));
    // What is allowed shows that the intruder is connected: otherwise everything would be "denied".
    for (const subject of allowed) assert.equal(requests[subject], 'answered', subject);
    assert.ok((received[mine] ?? 0) >= 2, 'it hears the answers to its own node');
    const reached = forbidden.filter((subject) => requests[subject] !== 'nobody');
    assert.deepEqual(reached, [], 'subjects that the hub let through');
    assert.deepEqual(
      deaf.filter((subject) => received[subject] !== 0),
      [],
      'subjects that the hub let it hear',
    );
    assert.equal((await cluster.runningTasks('watched')).length, 3);
  });
});
