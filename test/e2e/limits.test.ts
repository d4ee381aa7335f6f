import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeOnNode, eventually, testImage, type TestNode } from '@gantry/test-harness';

/** Reads a limit file of the container's cgroup, v1 or v2, whichever there is. */
async function limitOf(
  node: TestNode,
  container: string,
  v1: readonly [string, string],
  v2: string,
): Promise<string> {
  const { cgroups } = await node.readState();
  const { Id } = await node.inspect(container);
  const mine = cgroups.filter((path) => path.includes(Id));
  const candidates = mine.flatMap((path) => [join(path, v1[1]), join(path, v2)]);
  const found = candidates.find(
    (path) => existsSync(path) && (path.endsWith(v2) || path.includes(`/${v1[0]}/`)),
  );
  assert.ok(found, `no ${v1[1]} or ${v2} among ${mine.join(' ')}`);
  return readFileSync(found, 'utf8').trim();
}

describeOnNode('limits', (getNode) => {
  test('memory, cpu, shares, cpuset and pids reach the kernel', async () => {
    const node = getNode();
    await node.must(
      ...[
        'run',
        '-d',
        '--name',
        'bound',
        '--memory',
        '64m',
        '--cpus',
        '0.5',
        '--cpu-shares',
        '512',
        '--cpuset-cpus',
        '0',
        '--pids-limit',
        '33',
      ],
      ...[testImage, 'sleep', '1000'],
    );
    assert.equal(
      await limitOf(node, 'bound', ['memory', 'memory.limit_in_bytes'], 'memory.max'),
      String(64 * 1024 * 1024),
    );
    assert.match(await limitOf(node, 'bound', ['cpu', 'cpu.cfs_quota_us'], 'cpu.max'), /^50000( 100000)?$/);
    assert.equal(await limitOf(node, 'bound', ['pids', 'pids.max'], 'pids.max'), '33');
    assert.equal(await limitOf(node, 'bound', ['cpuset', 'cpuset.cpus'], 'cpuset.cpus'), '0');
  });

  test('a container that takes more memory than it may is killed, and inspect says OOMKilled', async () => {
    const node = getNode();
    const { code } = await node.gantry([
      'run',
      '--name',
      'greedy',
      '--memory',
      '32m',
      testImage,
      'payload',
      'eat',
      '128',
    ]);
    assert.equal(code, 137);
    await eventually('the kill is reported', async () => (await node.inspect('greedy')).State.OOMKilled);
    await node.must('run', '--name', 'modest', '--memory', '64m', testImage, 'payload', 'eat', '8');
    assert.equal((await node.inspect('modest')).State.OOMKilled, false);
  });

  test('a fork bomb stops at its limit of processes', async () => {
    const output = await getNode().must(
      'run',
      '--rm',
      '--pids-limit',
      '20',
      testImage,
      'payload',
      'fork',
      '100',
    );
    assert.match(output, /^forked=1[89]$/m);
  });

  test('half a cpu is half a cpu', async () => {
    const { stderr } = await getNode().gantry([
      'run',
      '--rm',
      '--cpus',
      '0.5',
      testImage,
      'sh',
      '-c',
      'time timeout 2 sh -c "while :; do :; done"',
    ]);
    const [, user] = /user\s+0m ([\d.]+)s/.exec(stderr) ?? [];
    assert.ok(Number(user) > 0.1 && Number(user) < 1.3, `${user} s of 2: ${stderr}`);
  });

  test('stats shows memory, cpu and processes of what runs', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'busy',
      '--memory',
      '64m',
      testImage,
      'sh',
      '-c',
      'while :; do :; done',
    );
    const text = await node.must('stats', '--no-stream');
    assert.match(text, /busy/);
    assert.match(text, /64(\.0+)?MiB/);
    const cpu = Number(/([\d.]+)%/.exec(text)?.[1]);
    assert.ok(cpu > 10, text);
  });

  test('top lists the processes of the container with their host numbers', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'busy', testImage, 'sh', '-c', 'sleep 1001 & sleep 1002');
    const text = await eventually('both are there', async () => {
      const told = await node.must('top', 'busy');
      return /sleep 1001/.test(told) && /sleep 1002/.test(told) && told;
    });
    assert.match(text, /PID/);
    assert.match(text, new RegExp(String((await node.inspect('busy')).State.Pid)));
  });
});
