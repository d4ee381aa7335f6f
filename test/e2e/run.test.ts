import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '@gantry/demo';
import { boxImage, describeOnNode, eventually, fullImage, parseFacts, testImage } from '@gantry/test-harness';

describeOnNode(
  'gantry run',
  (getNode) => {
    test('prints what the container prints and exits with its exit code', async () => {
      const node = getNode();
      const ended = await node.gantry([
        'run',
        '--rm',
        testImage,
        'sh',
        '-c',
        'echo out; echo err >&2; exit 42',
      ]);
      assert.deepEqual([ended.code, ended.stdout, ended.stderr], [42, 'out\n', 'err\n']);
    });

    test('reports a container killed by a signal as 128 and the signal', async () => {
      const node = getNode();
      const running = node.gantry(['run', '--name', 'victim', testImage, 'sleep', '1000']);
      await eventually('it runs', async () => (await node.inspect('victim')).State.Running);
      await node.must('kill', 'victim');
      assert.equal((await running).code, 137);
    });

    test('sends standard input to the container with -i and ends it with the input', async () => {
      const { code, stdout } = await getNode().gantry(['run', '--rm', '-i', testImage, 'sha256sum'], {
        input: 'x'.repeat(300_000),
      });
      assert.equal(code, 0);
      assert.equal(stdout, `${sha256(Buffer.from('x'.repeat(300_000)))}  -\n`);
    });

    test('gives ten megabytes of output whole and in order', async () => {
      const { stdout } = await getNode().gantry(['run', '--rm', testImage, 'seq', '1', '1500000']);
      const lines = stdout.trimEnd().split('\n');
      assert.equal(lines.length, 1_500_000);
      assert.equal(lines.at(-1), '1500000');
      assert.ok(lines.every((line, index) => Number(line) === index + 1));
    });

    test('sets environment, directory, user, host name, labels and name as told', async () => {
      const node = getNode();
      const file = join(node.directory, 'env');
      writeFileSync(file, '# comment\nFROM_FILE=one\n\nBOTH=file\n');
      const output = await node.must(
        ...[
          'run',
          '--rm',
          '--name',
          'named',
          '--hostname',
          'box',
          '-e',
          'BOTH=flag',
          '--env-file',
          file,
          '-e',
          'X=a b',
        ],
        ...['-w', '/tmp', '-u', '1000:2000', '--label', 'colour=blue', testImage],
        ...['sh', '-c', 'echo "$FROM_IMAGE|$FROM_FILE|$BOTH|$X|$HOME"; payload facts'],
      );
      assert.match(output, /^yes\|one\|flag\|a b\|/);
      const facts = parseFacts(output);
      assert.deepEqual(
        [facts['hostname'], facts['cwd'], facts['uid'], facts['gid']],
        ['box', '/tmp', '1000', '2000'],
      );
    });

    test("takes the image's entrypoint, user, directory and command, and replaces them when told", async () => {
      const node = getNode();
      const facts = parseFacts(await node.must('run', '--rm', 'test.gantry/full:1'));
      assert.deepEqual([facts['uid'], facts['cwd'], facts['groups']], ['1000', '/data', '2000']);
      assert.equal(
        await node.must('run', '--rm', '--entrypoint', 'echo', 'test.gantry/full:1', 'replaced'),
        'replaced',
      );
      assert.equal((await node.gantry(['run', '--rm', 'test.gantry/full:1', 'exit', '9'])).code, 9);
    });

    test('prints only the id with -d, and the container runs on', async () => {
      const node = getNode();
      const id = await node.must('run', '-d', '--name', 'background', testImage, 'sleep', '1000');
      assert.match(id, /^[0-9a-f]{64}$/);
      const { State } = await node.inspect('background');
      assert.deepEqual([State.Status, State.Running], ['running', true]);
      assert.equal(await node.must('ps', '-q', '--no-trunc'), id);
    });

    test('removes the container after its end with --rm, and keeps it without', async () => {
      const node = getNode();
      await node.must('run', '--name', 'kept', testImage, 'true');
      await node.must('run', '--rm', '--name', 'gone', testImage, 'true');
      assert.equal(
        await node.must('ps', '-a', '--format', 'json').then((text) => text.includes('gone')),
        false,
      );
      assert.equal((await node.inspect('kept')).State.Status, 'exited');
    });

    test('runs a tiny init as process 1 with --init, which reaps what the container leaves', async () => {
      const output = await getNode().must(
        'run',
        '--rm',
        '--init',
        testImage,
        'sh',
        '-c',
        '(sleep 0.1 &) ; sleep 0.4; ps -o pid,stat,comm',
      );
      assert.doesNotMatch(output, / Z /);
      assert.doesNotMatch(output, /^\s*1 \S+\s+sh$/m);
    });

    test('sets ulimits, sysctls, the size of /dev/shm, extra hosts and name servers', async () => {
      const output = await getNode().must(
        ...[
          'run',
          '--rm',
          '--ulimit',
          'nofile=1000:2000',
          '--sysctl',
          'net.ipv4.ip_unprivileged_port_start=0',
        ],
        ...[
          '--sysctl',
          'kernel.msgmax=4096',
          '--shm-size',
          '8m',
          '--add-host',
          'printer:10.1.2.3',
          '--dns',
          '10.9.8.7',
        ],
        ...[
          testImage,
          'sh',
          '-c',
          'payload facts; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /etc/hosts',
        ],
      );
      const facts = parseFacts(output);
      assert.deepEqual([facts['nofile'], facts['shm_bytes']], ['1000:2000', String(8 * 1024 * 1024)]);
      assert.match(output, /\n0\n4096\n/);
      assert.match(output, /10\.1\.2\.3\s+printer/);
    });

    test('--pull never and --platform of another machine are refused by name', async () => {
      const node = getNode();
      const absent = await node.gantry(['run', '--rm', '--pull', 'never', 'absent.example/none:1', 'true']);
      assert.equal(absent.code, 125);
      assert.match(absent.stderr, /absent\.example\/none:1/);
    });

    test('a flag that is not there is refused by its name', async () => {
      const { code, stderr } = await getNode().gantry(['run', '--gpus', 'all', testImage, 'true']);
      assert.equal(code, 125);
      assert.match(stderr, /--gpus/);
    });
  },
  { images: [boxImage(), fullImage()] },
);
