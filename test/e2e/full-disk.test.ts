import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeArchive } from '@gantry/demo';
import { boxImage, describeOnNode, testImage } from '@gantry/test-harness';

describeOnNode(
  'a full disk',
  (getNode) => {
    test('is named when an image does not fit, nothing half-made is kept, and the node works on', async () => {
      const node = getNode();
      const archive = join(node.directory, 'large.tar');
      const large = { path: 'large', kind: 'file', content: randomBytes(24 * 1024 * 1024) } as const;
      writeArchive(archive, [{ ...boxImage(), reference: 'test.gantry/large:1', layers: [[large]] }]);
      const before = [await node.must('images', '-q'), (await node.readState()).files.length];
      const { code, stderr } = await node.gantry(['load', '-i', archive]);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /no space|disk is full|full/i);
      assert.ok(stderr.trim().split('\n').length <= 2, stderr);
      assert.deepEqual([await node.must('images', '-q'), (await node.readState()).files.length], before);
      assert.equal(await node.must('run', '--rm', testImage, 'echo', 'works'), 'works');
    });

    test('filled by a container is that container’s trouble alone', async () => {
      const node = getNode();
      const filled = await node.gantry([
        'run',
        '--name',
        'filler',
        testImage,
        'sh',
        '-c',
        'dd if=/dev/zero of=/fill bs=1M 2>&1 | tail -1; exit 3',
      ]);
      assert.equal(filled.code, 3, filled.stderr);
      assert.match(await node.must('ps', '-a'), /filler/);
      await node.must('rm', '-f', 'filler');
      assert.equal(await node.must('run', '--rm', testImage, 'echo', 'works'), 'works');
    });
  },
  { stateSize: '20m', modes: ['one-process'] },
);
