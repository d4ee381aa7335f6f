import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  describeOnNode,
  eventually,
  parseFacts,
  runCommand,
  testImage,
  type CommandResult,
  type TestNode,
} from '@gantry/test-harness';

const gantry = fileURLToPath(new URL('../../../bin/gantry', import.meta.url));

/** Runs the command line on a terminal of its own (util-linux script). */
function onTerminal(node: TestNode, words: readonly string[], input = ''): Promise<CommandResult> {
  const quoted = [gantry, ...words].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  return runCommand('script', ['-qec', `stty rows 41 cols 97; ${quoted}`, '/dev/null'], {
    environment: node.environment,
    input,
  });
}

describeOnNode('output, input and terminals', (getNode) => {
  test('logs gives both streams back, --tail the last lines, -t the times', async () => {
    const node = getNode();
    await node.must(
      'run',
      '--name',
      'talk',
      testImage,
      'sh',
      '-c',
      'for i in 1 2 3 4 5; do echo o$i; done; echo e1 >&2',
    );
    const { stdout, stderr } = await node.gantry(['logs', 'talk']);
    assert.deepEqual([stdout, stderr], ['o1\no2\no3\no4\no5\n', 'e1\n']);
    assert.equal(
      (await node.gantry(['logs', '--tail', '2', 'talk'])).stdout +
        (await node.gantry(['logs', '--tail', '2', 'talk'])).stderr,
      'o5\ne1\n',
    );
    assert.match(
      (await node.gantry(['logs', '-t', '--tail', '1', 'talk'])).stderr,
      /^\d{4}-\d\d-\d\dT[\d:.]+Z e1\n$/,
    );
  });

  test('logs --since leaves out what is older', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'slow',
      testImage,
      'sh',
      '-c',
      'echo early; sleep 1.2; echo late; sleep 1000',
    );
    await eventually('both lines are there', async () => (await node.must('logs', 'slow')) === 'early\nlate');
    assert.equal(
      await node.must('logs', '--since', '1s', 'slow').then((text) => text.replace('early\n', '')),
      'late',
    );
  });

  test('logs -f follows to the end of the container', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'counter', testImage, 'payload', 'count', '2000', '300');
    const text = await node.must('logs', '-f', 'counter');
    assert.deepEqual(
      text.split('\n').map(Number),
      Array.from({ length: 300 }, (_empty, index) => index + 1),
    );
  });

  test('logs are rotated at the size that was set, and no more files are kept than told', async () => {
    const node = getNode();
    const id = await node.must(
      'run',
      '-d',
      '--name',
      'loud',
      '--log-opt',
      'max-size=64k',
      '--log-opt',
      'max-file=3',
      testImage,
      'seq',
      '1',
      '60000',
    );
    assert.equal(await node.must('wait', 'loud'), '0');
    const directory = join(node.stateDirectory, 'containers', id);
    const files = readdirSync(directory).filter((name) => name.includes('log'));
    assert.equal(files.length, 3, files.join(' '));
    for (const name of files) assert.ok(statSync(join(directory, name)).size <= 80 * 1024, name);
    const lines = (await node.must('logs', 'loud')).split('\n').map(Number);
    assert.equal(lines.at(-1), 60_000);
    assert.ok(
      lines.every((line, index) => index === 0 || line === (lines[index - 1] ?? 0) + 1),
      'a line is missing',
    );
  });

  test('exec runs beside the first process, with its own environment, user, directory and exit code', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'host', '-e', 'A=1', testImage, 'sleep', '1000');
    const { code, stdout } = await node.gantry([
      'exec',
      '-e',
      'B=2',
      '-w',
      '/tmp',
      '-u',
      '1000',
      'host',
      'sh',
      '-c',
      'echo $A$B; pwd; id -u; exit 6',
    ]);
    assert.deepEqual([code, stdout], [6, '12\n/tmp\n1000\n']);
    assert.equal((await node.gantry(['exec', '-i', 'host', 'cat'], { input: 'through' })).stdout, 'through');
    const facts = parseFacts(await node.must('exec', 'host', 'payload', 'facts'));
    const first = parseFacts(
      await node.must(
        'exec',
        'host',
        'sh',
        '-c',
        'for n in user mnt net pid ipc uts cgroup; do echo ns_$n=$(readlink /proc/1/ns/$n); done',
      ),
    );
    for (const [name, value] of Object.entries(first)) assert.equal(facts[name], value, name);
    assert.match(facts['status'] ?? '', /Seccomp: 2/);
  });

  test('exec of an unknown command is 127, of what cannot be run 126', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'host', testImage, 'sleep', '1000');
    assert.equal((await node.gantry(['exec', 'host', 'no-such-command'])).code, 127);
    assert.equal((await node.gantry(['exec', 'host', '/etc/passwd'])).code, 126);
  });

  test('-it gives a terminal of the right size', async () => {
    const { stdout, code } = await onTerminal(getNode(), [
      'run',
      '--rm',
      '-it',
      testImage,
      'payload',
      'facts',
    ]);
    const facts = parseFacts(stdout.replaceAll('\r', ''));
    assert.deepEqual([facts['terminal'], facts['size'], code], ['1', '41x97', 0]);
  });

  test('exec -it speaks with a shell', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'host', testImage, 'sleep', '1000');
    const { stdout } = await onTerminal(node, ['exec', '-it', 'host', 'sh'], 'echo sum=$((40+2))\nexit 3\n');
    assert.match(stdout, /sum=42/);
  });

  test('attach shows what comes from now on and sends input; the container outlives the client', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '-i',
      '--name',
      'pipe',
      testImage,
      'sh',
      '-c',
      'while read line; do echo got $line; done; sleep 1000',
    );
    const client = spawn(gantry, ['attach', 'pipe'], {
      env: { ...process.env, ...node.environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    client.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually('it answers', () => {
      if (said === '') client.stdin.write('hello\n');
      return said.includes('got hello');
    });
    client.kill('SIGKILL');
    await once(client, 'exit');
    assert.equal((await node.inspect('pipe')).State.Running, true);
  });

  test('run in the foreground hands SIGTERM to the container and gives its exit code', async () => {
    const node = getNode();
    const client = spawn(gantry, ['run', '--rm', '--name', 'fore', testImage, 'payload', 'polite'], {
      env: { ...process.env, ...node.environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    client.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually('it is ready', () => said.includes('ready'));
    client.kill('SIGTERM');
    const [code] = (await once(client, 'exit')) as [number];
    assert.equal(code, 7);
    assert.match(said, /terminated/);
  });
});
