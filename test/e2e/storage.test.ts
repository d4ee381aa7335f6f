import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { boxImage, describeOnNode, fullImage, testImage } from '@gantry/test-harness';

describeOnNode(
  'files of containers',
  (getNode) => {
    test('a named volume keeps its files from one container to the next, and is removed by name', async () => {
      const node = getNode();
      assert.equal(await node.must('volume', 'create', 'kept'), 'kept');
      await node.must('run', '--rm', '-v', 'kept:/data2', testImage, 'sh', '-c', 'echo one > /data2/file');
      assert.equal(
        await node.must('run', '--rm', '-v', 'kept:/elsewhere:ro', testImage, 'cat', '/elsewhere/file'),
        'one',
      );
      assert.match(await node.must('volume', 'ls'), /kept/);
      await node.must('volume', 'rm', 'kept');
      assert.notEqual((await node.gantry(['volume', 'rm', 'kept'])).code, 0);
    });

    test('a volume in use is not removed, and the refusal names it', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'user', '-v', 'busy:/data2', testImage, 'sleep', '1000');
      const { code, stderr } = await node.gantry(['volume', 'rm', 'busy']);
      assert.equal(code, 1);
      assert.match(stderr, /busy/);
    });

    test('a new volume takes over what the image has there, owners too', async () => {
      const output = await getNode().must(
        'run',
        '--rm',
        '-v',
        'seeded:/data',
        testImage,
        'sh',
        '-c',
        'cat /data/seed; stat -c %u /data/seed',
      );
      assert.equal(output, 'from the image\n1000');
    });

    test('files written by root inside belong to root on disk, whatever the range of ids', async () => {
      const node = getNode();
      const directory = join(node.directory, 'shared');
      mkdirSync(directory);
      chownSync(directory, 0, 0);
      chmodSync(directory, 0o700);
      await node.must(
        'run',
        '--rm',
        '-v',
        `${directory}:/shared`,
        testImage,
        'sh',
        '-c',
        'echo root > /shared/r; echo user > /shared/u; chown 1000:1000 /shared/u',
      );
      assert.equal(readFileSync(join(directory, 'r'), 'utf8'), 'root\n');
      assert.equal(statSync(join(directory, 'r')).uid, 0);
      assert.equal(statSync(join(directory, 'u')).uid, 1000);
    });

    test('read-only mounts, root file systems and tmpfs are what they say', async () => {
      const node = getNode();
      const file = join(node.directory, 'single');
      writeFileSync(file, 'a file\n');
      const output = await node
        .must(
          ...[
            'run',
            '--rm',
            '--read-only',
            '--tmpfs',
            '/scratch:size=1m',
            '--mount',
            `type=bind,source=${file},target=/single,readonly`,
            testImage,
          ],
          ...[
            'sh',
            '-c',
            'cat /single; touch /x 2>&1 | grep -o Read-only; echo y > /single 2>&1 || echo refused; dd if=/dev/zero of=/scratch/f bs=1k count=2000 2>&1 | grep -o "No space"; df -k /scratch | tail -1 | tr -s " " | cut -d" " -f2',
          ],
        )
        .catch((error: Error) => error.message);
      assert.match(output, /a file\nRead-only\n(.*\n)*refused\nNo space\n1024/);
    });

    test('--volumes-from gives the mounts of another container', async () => {
      const node = getNode();
      await node.must('create', '--name', 'source', '-v', 'common:/common', testImage, 'true');
      await node.must(
        'run',
        '--rm',
        '--volumes-from',
        'source',
        testImage,
        'sh',
        '-c',
        'echo shared > /common/f',
      );
      assert.equal(
        await node.must(
          'run',
          '--rm',
          '--volumes-from',
          'source:ro',
          testImage,
          'sh',
          '-c',
          'cat /common/f; touch /common/g 2>/dev/null || echo ro',
        ),
        'shared\nro',
      );
    });

    test('anonymous volumes of the image go with --rm, named ones stay', async () => {
      const node = getNode();
      await node.must('run', '--rm', '-v', 'stays:/extra', 'test.gantry/full:1');
      assert.equal(await node.must('volume', 'ls', '-q'), 'stays');
    });

    test('two containers of one image do not see what the other writes', async () => {
      const node = getNode();
      await node.must(
        'run',
        '-d',
        '--name',
        'a',
        testImage,
        'sh',
        '-c',
        'rm /data/seed; echo mine > /mine; sleep 1000',
      );
      assert.equal(
        await node.must('run', '--rm', testImage, 'sh', '-c', 'cat /data/seed; test ! -e /mine'),
        'from the image',
      );
    });

    test('--device gives the device that is named and no other', async () => {
      const output = await getNode().must(
        'run',
        '--rm',
        '--userns',
        'host',
        '--device',
        '/dev/kmsg:/dev/log0',
        testImage,
        'sh',
        '-c',
        'test -c /dev/log0 && echo there; test -e /dev/kmsg || echo absent',
      );
      assert.equal(output, 'there\nabsent');
    });

    test('system df counts, and system prune removes what nobody uses', async () => {
      const node = getNode();
      await node.must('run', '--name', 'dead', testImage, 'true');
      assert.match(await node.must('system', 'df'), /Images|IMAGES/i);
      await node.must('system', 'prune', '-f');
      assert.equal(await node.must('ps', '-a', '-q'), '');
    });
  },
  { images: [boxImage(), fullImage()] },
);
