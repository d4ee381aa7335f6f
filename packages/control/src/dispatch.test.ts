import assert from 'node:assert/strict';
import { test } from 'node:test';
import { control } from '@gantry/protocol';
import { dispatchHandlers } from './dispatch.js';
import { registryOf } from './registries.js';
import { makeNode, makeService, makeStatus, makeTask } from './testing/models.js';
import { makeContext, makeScriptedReign, type ScriptedReign } from './testing/scripted-reign.js';

const kib = 1024;
const bounded = { timeout: 20_000 };

interface Made extends ScriptedReign {
  readonly handlers: ReturnType<typeof dispatchHandlers>;
}

/** What the leader answers to the agent of node "w". */
function makeDispatcher(): Made {
  const scripted = makeScriptedReign();
  scripted.state.apply({ kind: 'node', id: 'w', value: makeNode('w').record });
  const handlers = dispatchHandlers({
    reign: scripted.reign,
    nodeId: 'hub',
    clusterId: 'c0ffee',
    leaseMs: 3_000,
    viewOf: () => control.ClusterViewCodec.decode(new Uint8Array()),
    behind: () => undefined,
    leave: () => Promise.resolve(),
  });
  return { ...scripted, handlers };
}

/** A task on "w" whose spec has about so many bytes. */
function addTask(made: Made, id: string, parts: Partial<control.Task> = {}, bytes = 0): control.Task {
  const container = {
    image: 'registry.example/app',
    restartPolicy: { name: 'always' },
    labels: { ballast: 'x'.repeat(bytes) },
  };
  const service = makeService('s', { container }, { stack: 'shop' });
  const task = makeTask(id, service, { nodeId: 'w', ...parts });
  made.state.apply({ kind: 'task', id, value: task });
  return task;
}

const setCredential = (made: Made, password: string): void =>
  made.state.apply({
    kind: 'stack',
    id: 'shop',
    value: {
      name: 'shop',
      services: ['web'],
      version: 1,
      updatedUnixMs: 1,
      removing: false,
      credentials: [{ registry: 'registry.example', username: 'u', password }],
    },
  });

type Message = Parameters<typeof control.WatchTasksResponseCodec.encode>[0];

const watch = (made: Made): AsyncIterator<Message> =>
  made.handlers
    .WatchTasks(
      { clusterId: 'c0ffee', version: '', storeGeneration: 1, seenRevision: 0 },
      makeContext('w', 'WatchTasks'),
    )
    [Symbol.asyncIterator]();

async function next(messages: AsyncIterator<Message>): Promise<Message> {
  const result = await messages.next();
  assert.ok(result.done !== true);
  return result.value;
}

test('large tasks are sent in messages that nats takes, all of them before "complete"', bounded, async () => {
  const made = makeDispatcher();
  const ids = Array.from({ length: 12 }, (_, number) => `t${String(number).padStart(2, '0')}`);
  for (const id of ids) addTask(made, id, {}, 90 * kib);
  const messages = watch(made);
  const seen: string[] = [];
  let most = 0;
  for (;;) {
    const message = await next(messages);
    const bytes = control.WatchTasksResponseCodec.encode(message).length;
    assert.ok(bytes <= 257 * kib, `${bytes}`);
    most = Math.max(most, message.tasks?.length ?? 0);
    seen.push(...(message.tasks ?? []).map(({ task }) => task?.id ?? ''));
    if (message.complete === true) break;
  }
  assert.deepEqual(seen.sort(), ids);
  assert.equal(most, 2);
  made.end();
});

test('a task is sent again when the credential of its registry changes, and only then', bounded, async () => {
  const made = makeDispatcher();
  addTask(made, 't1');
  setCredential(made, 'old');
  const messages = watch(made);
  const first = [await next(messages), await next(messages), await next(messages)];
  assert.equal(first[1]?.tasks?.[0]?.credential?.password, 'old');
  assert.equal(first[2]?.complete, true);
  setCredential(made, 'old');
  made.pulse();
  const following = next(messages);
  // Nothing has changed for the agent: the message that comes is of the next change.
  assert.equal(
    await Promise.race([following, new Promise((resolve) => setTimeout(resolve, 100, 'nothing'))]),
    'nothing',
  );
  setCredential(made, 'new');
  made.pulse();
  const { tasks } = await following;
  assert.equal(tasks?.[0]?.task?.id, 't1');
  assert.equal(tasks[0].credential?.password, 'new');
  made.end();
});

test('an agent cannot say that a task is lost or pending: that is for control', async () => {
  const made = makeDispatcher();
  for (const state of ['TASK_STATE_LOST', 'TASK_STATE_PENDING', 'TASK_STATE_UNSPECIFIED'] as const) {
    addTask(made, 't1', { status: makeStatus('TASK_STATE_UNSPECIFIED') });
    const reports = [{ taskId: 't1', status: makeStatus(state, { message: 'x' }), removed: false }];
    const answer = await made.handlers.ReportStatus({ reports }, makeContext('w', 'ReportStatus'));
    assert.deepEqual(answer, { unknownTaskIds: [] });
    assert.deepEqual(made.reported, []);
  }
  const running = { taskId: 't1', status: makeStatus('TASK_STATE_RUNNING'), removed: false };
  await made.handlers.ReportStatus({ reports: [running] }, makeContext('w', 'ReportStatus'));
  assert.deepEqual(
    made.reported.map(({ status }) => status.state),
    ['TASK_STATE_RUNNING'],
  );
});

test('the hub has one name, whichever an image calls it by', () => {
  for (const image of [
    'busybox',
    'library/busybox',
    'docker.io/x',
    'index.docker.io/x',
    'registry-1.docker.io/a/b',
  ])
    assert.equal(registryOf(image), 'docker.io', image);
  assert.equal(registryOf('registry.example:5000/x'), 'registry.example:5000');
  assert.equal(registryOf('localhost/x'), 'localhost');
});
