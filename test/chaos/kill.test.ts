import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeOnNode, eventually, testImage, type TestNode } from '@gantry/test-harness';

const counters = Array.from({ length: 10 }, (_empty, index) => `counter-${index}`);

/** Ten containers that count on standard output, 100 lines a second each. */
async function startCounters(node: TestNode): Promise<ReadonlyMap<string, number>> {
  await Promise.all(
    counters.map((name) => node.must('run', '-d', '--name', name, testImage, 'payload', 'count', '10000')),
  );
  return readPids(node);
}

async function readPids(node: TestNode): Promise<ReadonlyMap<string, number>> {
  const all = JSON.parse(await node.must('inspect', ...counters)) as {
    Name: string;
    State: { Pid: number; Running: boolean };
  }[];
  return new Map(all.map(({ Name, State }) => [Name.replace('/', ''), State.Running ? State.Pid : 0]));
}

/** Every process there is to kill. */
const victims = (node: TestNode): readonly string[] => [...node.processNames, 'nats-server'];

async function killAndRestart(node: TestNode, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => node.kill(name)));
  await sleep(100);
  await node.startAll();
}

/** The containers are the same processes, they are said to run, and nothing of what they counted is missing. */
async function assertUndisturbed(
  node: TestNode,
  pids: ReadonlyMap<string, number>,
  what: string,
): Promise<void> {
  const now = await eventually(`the node answers after ${what}`, () => readPids(node), 20_000);
  assert.deepEqual(now, pids, what);
  for (const [name, pid] of pids) assert.ok(existsSync(`/proc/${pid}/stat`), `${name} died: ${what}`);
  const running = await node.must('ps', '-q');
  assert.equal(running.split('\n').length, counters.length, what);
}

async function assertNoGaps(node: TestNode): Promise<void> {
  for (const name of counters) {
    const lines = (await node.must('logs', name)).split('\n').map(Number);
    const gap = lines.findIndex((line, index) => line !== index + 1);
    assert.equal(gap, -1, `${name}: ${lines[gap - 1]} is followed by ${lines[gap]}`);
    assert.ok(lines.length > 50, `${name} counted only to ${lines.length}`);
  }
}

/** The same "random" orders every time: a failure can be seen again. */
function shuffled(names: readonly string[], seed: number): string[] {
  let state = seed;
  const random = (): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
  return names
    .map((name) => ({ name, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ name }) => name);
}

describeOnNode('containers never die with us', (getNode) => {
  test('each process is killed by itself, then all in several orders, then all at once: no container notices', async () => {
    const node = getNode();
    const pids = await startCounters(node);
    for (const name of victims(node)) {
      await killAndRestart(node, [name]);
      await assertUndisturbed(node, pids, `${name} was killed`);
    }
    for (const seed of [1, 2]) {
      const order = shuffled(victims(node), seed);
      // One by one, each still dead when the next is killed.
      for (const name of order) {
        await node.kill(name).catch((error: unknown) => {
          // nats-server may be gone between its supervisor's death and our look.
          if (name !== 'nats-server') throw error;
        });
        await sleep(30);
      }
      await node.startAll();
      await assertUndisturbed(node, pids, `all were killed in the order ${order.join(', ')}`);
    }
    await killAndRestart(node, victims(node));
    await assertUndisturbed(node, pids, 'all were killed at once');
    await assertNoGaps(node);
  });

  test('the exit codes of containers that ended while nobody was there are known', async () => {
    const node = getNode();
    for (const code of [0, 23, 255]) {
      await node.must('run', '-d', '--name', `ends-${code}`, testImage, 'sh', '-c', `sleep 1; exit ${code}`);
    }
    await node.must('run', '-d', '--name', 'once', '--rm', testImage, 'sleep', '1');
    await node.must(
      'run',
      '-d',
      '--name',
      'again',
      '--restart',
      'always',
      testImage,
      'sh',
      '-c',
      'echo started; sleep 1; exit 1',
    );
    await Promise.all(victims(node).map((name) => node.kill(name)));
    await sleep(1_500);
    await node.startAll();
    for (const code of [0, 23, 255]) {
      assert.equal(await node.must('wait', `ends-${code}`), String(code));
      assert.equal((await node.inspect(`ends-${code}`)).State.Status, 'exited');
    }
    await eventually(
      'the --rm container is removed',
      async () => (await node.gantry(['inspect', 'once'])).code === 1,
    );
    await eventually(
      'the policy started it again',
      async () => (await node.must('logs', 'again')).split('\n').length >= 2,
    );
  });

  test('a container that outlives its shim is not said to run when it does not', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'orphan', testImage, 'sleep', '1000');
    const { Pid } = (await node.inspect('orphan')).State;
    await Promise.all(node.processNames.map((name) => node.kill(name)));
    const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${Pid}/status`, 'utf8'))?.[1]);
    process.kill(parent, 'SIGKILL');
    await node.startAll();
    await eventually('ps tells the truth', async () => {
      const { State } = await node.inspect('orphan');
      return State.Running === existsSync(`/proc/${Pid}/stat`);
    });
    assert.equal((await node.inspect('orphan')).State.Running, false);
  });

  test('a start that is tried again while processes are killed under it runs the container once', async () => {
    const node = getNode();
    const directory = join(node.directory, 'starts');
    mkdirSync(directory, { recursive: true });
    const targets =
      node.mode === 'one-process'
        ? ['gantryd', 'gantryd', 'gantryd', 'nats-server']
        : [
            'spawner',
            'node-agent',
            'api',
            'nats-server',
            'network-manager',
            'image-store',
            'cgroup-supervisor',
          ];
    for (const [index, target] of targets.entries()) {
      const name = `single-${index}`;
      await node.must(
        'create',
        '--name',
        name,
        '-v',
        `${directory}:/starts`,
        testImage,
        'sh',
        '-c',
        `echo start >> /starts/${name}; sleep 1000`,
      );
      const attempt = node.gantry(['start', name]);
      await sleep(index * 15);
      await node.kill(target).catch(() => undefined);
      await node.startAll();
      await attempt;
      await eventually(
        `${name} is started`,
        async () => (await node.gantry(['start', name])).code === 0,
        20_000,
      );
      await eventually(
        `${name} runs`,
        async () => (await node.inspect(name)).State.Running && existsSync(join(directory, name)),
      );
      await sleep(200);
      assert.equal(
        readFileSync(join(directory, name), 'utf8'),
        'start\n',
        `${target} was killed during the start`,
      );
    }
  });
});
