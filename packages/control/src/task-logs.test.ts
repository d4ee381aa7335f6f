import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { agentSubject, connectCluster, createBusMetrics, serveMethods, type Bus } from '@gantry/bus';
import { node } from '@gantry/protocol';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { ClusterState } from './state.js';
import { readTaskLogs } from './task-logs.js';
import { makeService, makeTask } from './testing/models.js';
import { startNatsForTest } from './testing/nats-for-test.js';

const metrics = createBusMetrics(new Registry());

async function enter(t: TestContext, kind: 'agent' | 'control', nodeId: string, url: string): Promise<Bus> {
  const bus = await connectCluster(kind, { nodeId, natsUrl: url, nkeySeed: '', metrics });
  t.after(() => bus.close());
  return bus;
}

/** An agent whose tasks have written `lines`, and with `follow` write on until they are left. */
async function serveOutput(
  t: TestContext,
  nodeId: string,
  url: string,
  lines: readonly string[],
): Promise<void> {
  const bus = await enter(t, 'agent', nodeId, url);
  const serving = serveMethods({
    bus,
    descriptor: node.ClusterAgent,
    subjectOf: (method) => agentSubject(nodeId, method),
    metrics,
    logger: pino({ level: 'silent' }),
    signal: new AbortController().signal,
    handlers: {
      async *ReadTaskOutput(
        { taskId, follow }: node.ReadTaskOutputRequest,
        { signal }: { signal: AbortSignal },
      ) {
        for (const line of lines)
          yield {
            entries: [{ stream: 'stdout', timeUnixNanos: 1, data: Buffer.from(`${taskId} ${line}\n`) }],
          };
        if (follow && !signal.aborted)
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      },
    },
  });
  await bus.connection.flush();
  t.after(() => serving.stop());
}

function stateOf(...tasks: readonly [string, string][]): ClusterState {
  const state = ClusterState.from(new Map());
  const service = makeService('s1', { name: 'web' }, { stack: 'shop' });
  state.apply({ kind: 'service', id: service.id, value: service });
  state.apply({
    kind: 'stack',
    id: 'shop',
    value: {
      name: 'shop',
      services: ['web'],
      version: 1,
      updatedUnixMs: 1,
      credentials: [],
      removing: false,
    },
  });
  for (const [index, [id, nodeId]] of tasks.entries())
    state.apply({ kind: 'task', id, value: makeTask(id, service, { nodeId, slot: index + 1 }) });
  return state;
}

const wish = { stack: '', service: '', task: '', follow: false, tail: undefined, sinceUnixNanos: 0 };

test('output of a stack comes from all its nodes, and a node that does not answer is a warning', async (t) => {
  const { url } = await startNatsForTest(t);
  await serveOutput(t, 'n1', url, ['one', 'two']);
  await serveOutput(t, 'n2', url, ['three']);
  const bus = await enter(t, 'control', 'hub', url);
  const state = stateOf(['t1', 'n1'], ['t2', 'n2'], ['t3', 'away']);
  const lines: string[] = [];
  const warnings: string[] = [];
  for await (const message of readTaskLogs(
    { bus, state, absentAgentWaitMs: 200 },
    { ...wish, stack: 'shop' },
    AbortSignal.timeout(10_000),
  )) {
    for (const { taskName, entry } of message.entries ?? [])
      lines.push(
        `${taskName ?? ''}: ${Buffer.from(entry?.data ?? [])
          .toString()
          .trim()}`,
      );
    warnings.push(...(message.warnings ?? []));
  }
  assert.deepEqual(lines.sort(), ['shop_web.1: t1 one', 'shop_web.1: t1 two', 'shop_web.2: t2 three']);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /shop_web\.3 on node away cannot be read/);
});

test('followed output goes on with tasks that are new, until nobody listens', async (t) => {
  const { url } = await startNatsForTest(t);
  await serveOutput(t, 'n1', url, ['one']);
  const bus = await enter(t, 'control', 'hub', url);
  const state = stateOf(['t1', 'n1']);
  const over = new AbortController();
  const seen: string[] = [];
  for await (const { entries = [] } of readTaskLogs(
    { bus, state },
    { ...wish, service: 'shop_web', follow: true },
    over.signal,
  )) {
    for (const { taskId = '' } of entries) seen.push(taskId);
    if (seen.length === 1) {
      const service = state.services.get('s1');
      assert.ok(service !== undefined);
      state.apply({ kind: 'task', id: 't2', value: makeTask('t2', service, { nodeId: 'n1', slot: 2 }) });
    }
    if (seen.length === 2) over.abort();
  }
  assert.deepEqual(seen, ['t1', 't2']);
});

test('a stack, service or task that is not there is refused by its name', async (t) => {
  const { url } = await startNatsForTest(t);
  const bus = await enter(t, 'control', 'hub', url);
  const state = stateOf(['t1', 'n1']);
  const { signal } = new AbortController();
  const first = (request: Partial<typeof wish>): Promise<unknown> =>
    readTaskLogs({ bus, state }, { ...wish, ...request }, signal).next();
  await assert.rejects(first({ stack: 'none' }), { code: 'not_found', message: 'there is no stack none' });
  await assert.rejects(first({ service: 'none' }), { code: 'not_found' });
  await assert.rejects(first({ task: 'none' }), { code: 'not_found' });
  await assert.rejects(first({}), { code: 'invalid_argument' });
});
