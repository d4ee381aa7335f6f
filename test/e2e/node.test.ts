import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  describeOnNode,
  eventually,
  runCommand,
  testImage,
  type CommandResult,
  type TestNode,
} from '@gantry/test-harness';

const gantryd = fileURLToPath(new URL('../../../bin/gantryd', import.meta.url));

/** gantryd in the node's network, which is where it belongs. */
function runGantryd(node: TestNode, ...words: readonly string[]): Promise<CommandResult> {
  return node.network.run(gantryd, ['--config', node.configFile, ...words]);
}

/** gantry in the node's network: "up" starts gantryd there. */
function runGantry(node: TestNode, ...words: readonly string[]): Promise<CommandResult> {
  return node.network.run(gantryd.replace(/d$/, ''), words, { environment: node.environment });
}

describeOnNode('a node', (getNode) => {
  test('version and info tell what runs, and what this kernel lacks', async () => {
    const node = getNode();
    assert.match(await node.must('version'), /0\.1\.0/);
    const info = await node.must('info');
    for (const word of [
      'image-store',
      'network-manager',
      'cgroup-supervisor',
      'spawner',
      'node-agent',
      'api',
    ])
      assert.match(info, new RegExp(word));
  });

  test('a second gantryd on the same directories is refused by name and changes nothing', async () => {
    const node = getNode();
    const { code, stderr } = await runGantryd(node);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`already running on ${node.runDirectory} \\(process \\d+\\)`));
    await node.must('ps');
  });

  test('wrong configuration is refused naming file, key and flag', async () => {
    const node = getNode();
    const file = join(node.directory, 'wrong.yaml');
    writeFileSync(file, 'nats: { port: 4222, colour: blue }\nspeed: fast\n');
    const inFile = await runCommand(gantryd, ['--config', file, '--print-config']);
    assert.equal(inFile.code, 2);
    assert.match(inFile.stderr, /wrong\.yaml: unknown key nats\.colour/);
    assert.match(inFile.stderr, /unknown key speed/);
    const inFlag = await runCommand(gantryd, [
      '--config',
      node.configFile,
      '--nats.port',
      'many',
      '--print-config',
    ]);
    assert.match(inFlag.stderr, /--nats\.port must be integer/);
  });

  test('flags beat the environment, the environment beats the file', async () => {
    const node = getNode();
    const printed = async (...words: string[]): Promise<string> =>
      (
        await runCommand(gantryd, ['--config', node.configFile, '--print-config', ...words], {
          environment: { GANTRY_NETWORK_MANAGER_BRIDGE: 'fromenv' },
        })
      ).stdout;
    assert.match(await printed(), /bridge: fromenv/);
    assert.match(await printed('--network-manager.bridge', 'fromflag'), /bridge: fromflag/);
  });
});

describeOnNode(
  'a node as a whole',
  (getNode) => {
    test('SIGTERM leaves containers alone, and the next start has them again', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'lives', testImage, 'payload', 'count', '10000');
      const before = (await node.inspect('lives')).State.Pid;
      assert.equal(await node.terminate('gantryd', 'SIGTERM'), 0);
      assert.ok(existsSync(`/proc/${before}`));
      await node.startAll();
      assert.equal((await node.inspect('lives')).State.Pid, before);
    });

    test('gantry down --keep-containers and gantry up --detach are the same in commands', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'lives', testImage, 'sleep', '1000');
      const before = (await node.inspect('lives')).State.Pid;
      const down = await runGantry(node, 'down', '--keep-containers');
      assert.equal(down.code, 0, down.stderr);
      const up = await runGantry(node, 'up', '--detach');
      assert.equal(up.code, 0, up.stderr);
      assert.equal((await node.inspect('lives')).State.Pid, before);
      await runGantry(node, 'down', '--keep-containers');
      await node.startAll();
    });

    test('gantry down stops containers and gives everything back; gantry up starts those that shall always run', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'stays', testImage, 'sleep', '1000');
      await node.must('run', '-d', '--name', 'always', '--restart', 'always', testImage, 'sleep', '1000');
      const down = await runGantry(node, 'down');
      assert.equal(down.code, 0, down.stderr);
      const state = await node.readState();
      assert.deepEqual(
        [state.mounts, state.links, state.nftables, state.cgroups, state.processes],
        [[], [], [], [], []],
      );
      assert.equal(existsSync(join(node.runDirectory, 'api.sock')), false);
      const again = await runGantry(node, 'down');
      assert.equal(again.code, 1);
      assert.match(again.stderr, /not running/);
      await node.startAll();
      await eventually(
        'the one that always runs is back',
        async () => (await node.inspect('always')).State.Running,
      );
      assert.equal((await node.inspect('stays')).State.Running, false);
    });

    test('after a reboot, with an empty run directory, containers are known and those that shall always run are started', async () => {
      const node = getNode();
      await node.must(
        'run',
        '-d',
        '--name',
        'always',
        '--restart',
        'unless-stopped',
        testImage,
        'sleep',
        '1000',
      );
      await node.must('run', '-d', '--name', 'once', testImage, 'sleep', '1000');
      // What a reboot does: every process gone, nothing mounted, nothing in /run.
      await node.simulateReboot();
      await node.startAll();
      await eventually('it is started again', async () => (await node.inspect('always')).State.Running);
      assert.equal((await node.inspect('once')).State.Running, false);
    });
  },
  { modes: ['one-process'] },
);
