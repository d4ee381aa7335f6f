import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { packTar, sha256, writeArchive, writeLayout, type TarEntry } from '@gantry/demo';
import {
  boxImage,
  describeOnNode,
  eventually,
  mustRun,
  testImage,
  type TestNode,
} from '@gantry/test-harness';

const registryAddress = '127.0.0.1:5005';

/** Tag in the registry, compression of the layers, form of the manifest. */
const pushed = [
  ['gzip', 'gzip', 'oci'],
  ['docker', 'gzip', 'v2s2'],
  ['zstd', 'zstd', 'oci'],
  ['plain', 'none', 'oci'],
] as const;
const tags = pushed.map(([tag]) => tag);

/** Debian's docker-registry in the node's network, with the box image pushed by skopeo. */
async function startRegistry(node: TestNode): Promise<ChildProcess> {
  const directory = join(node.directory, 'registry');
  mkdirSync(directory, { recursive: true });
  const config = join(node.directory, 'registry.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${directory} }, delete: { enabled: true } }\nhttp: { addr: "${registryAddress}" }\n`,
  );
  const [program, words] = node.network.wrap('docker-registry', ['serve', config]);
  const registry = spawn(program, words, { stdio: 'ignore' });
  await eventually('the registry answers', () =>
    node.network.fetch(`http://${registryAddress}/v2/`).then(() => true),
  );
  for (const [tag, compression, format] of pushed) {
    const layout = join(node.directory, `layout-${tag}`);
    writeLayout(layout, [{ ...boxImage(), compression }]);
    await node.network.mustRun('skopeo', [
      ...['copy', '--dest-tls-verify=false', '--format', format],
      ...[`oci:${layout}:${testImage}`, `docker://${registryAddress}/team/box:${tag}`],
    ]);
  }
  return registry;
}

/** A docker archive made by hand: whatever the layer holds, skopeo would refuse to. */
function dockerArchive(reference: string, layer: Buffer): Buffer {
  const config = JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
  });
  const entries: TarEntry[] = [
    { path: 'config.json', kind: 'file', content: config },
    { path: 'layer.tar', kind: 'file', content: layer },
    {
      path: 'manifest.json',
      kind: 'file',
      content: JSON.stringify([{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }]),
    },
  ];
  return packTar(entries);
}

describeOnNode('images', (getNode) => {
  let registry: ChildProcess | undefined;
  before(async () => {
    registry = await startRegistry(getNode());
  });
  after(() => registry?.kill('SIGKILL'));

  const removeImage = (reference: string): Promise<unknown> => getNode().gantry(['rmi', reference]);

  for (const tag of tags) {
    test(`an image pulled from a registry runs (${tag})`, async () => {
      const node = getNode();
      const reference = `${registryAddress}/team/box:${tag}`;
      await node.must('pull', '-q', reference);
      assert.equal(await node.must('run', '--rm', reference, 'cat', '/data/seed'), 'from the image');
      await removeImage(reference);
    });
  }

  test('run pulls an image that is not here', async () => {
    const node = getNode();
    const reference = `${registryAddress}/team/box:gzip`;
    assert.equal(await node.must('run', '--rm', reference, 'echo', 'pulled'), 'pulled');
    await removeImage(reference);
  });

  test('a registry that answers with other bytes than the digest says is caught, and nothing is kept', async () => {
    const node = getNode();
    const before = await node.must('images', '-q');
    const blobs = join(node.directory, 'registry/docker/registry/v2/blobs/sha256');
    const files = readdirSync(blobs, { recursive: true, withFileTypes: true }).filter(
      (file) => file.isFile() && file.name === 'data',
    );
    const largest =
      files
        .map((file) => join(file.parentPath, file.name))
        .sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0] ?? '';
    const content = readFileSync(largest);
    try {
      const forged = Buffer.from(content);
      forged[forged.length >> 1] = (forged[forged.length >> 1] ?? 0) ^ 0xff;
      writeFileSync(largest, forged);
      const failures = await Promise.all(
        tags.map((tag) => node.gantry(['pull', `${registryAddress}/team/box:${tag}`])),
      );
      const failed = failures.filter(({ code }) => code !== 0);
      // Those images whose layers were here already need nothing from the registry.
      for (const { stderr } of failed) assert.match(stderr, /sha256:[0-9a-f]{64}|digest/);
    } finally {
      writeFileSync(largest, content);
    }
    for (const tag of tags) await removeImage(`${registryAddress}/team/box:${tag}`);
    assert.equal(await node.must('images', '-q'), before);
  });

  test('OCI archives, docker archives, gzipped ones and standard input are loaded', async () => {
    const node = getNode();
    const oci = join(node.directory, 'oci.tar');
    const other = { ...boxImage(), reference: 'test.gantry/loaded:1' };
    writeArchive(oci, [other]);
    assert.match(await node.must('load', '-i', oci), /test\.gantry\/loaded:1/);
    await node.must('rmi', 'test.gantry/loaded:1');

    const docker = join(node.directory, 'docker.tar');
    await mustRun('skopeo', ['copy', `oci-archive:${oci}`, `docker-archive:${docker}:test.gantry/loaded:2`]);
    await node.must('load', '-i', docker);
    assert.equal(await node.must('run', '--rm', 'test.gantry/loaded:2', 'echo', 'x'), 'x');
    await node.must('rmi', 'test.gantry/loaded:2');

    const { code, stderr } = await node.gantry(['load'], {
      input: gzipSync(readFileSync(oci), { level: 1 }),
    });
    assert.equal(code, 0, stderr);
    await node.must('rmi', 'test.gantry/loaded:1');
  });

  test('whiteouts hide what lower layers have, single files and whole directories', async () => {
    const node = getNode();
    const base = boxImage();
    const archive = join(node.directory, 'whiteout.tar');
    writeArchive(archive, [
      {
        ...base,
        reference: 'test.gantry/whiteout:1',
        layers: [
          ...base.layers,
          [
            { path: 'deep/', kind: 'directory' },
            { path: 'deep/old', kind: 'file', content: 'old' },
          ],
          [
            { path: 'data/.wh.seed', kind: 'file', content: '' },
            { path: 'deep/', kind: 'directory' },
            { path: 'deep/.wh..wh..opq', kind: 'file', content: '' },
            { path: 'deep/new', kind: 'file', content: 'new' },
          ],
        ],
      },
    ]);
    await node.must('load', '-q', '-i', archive);
    assert.equal(
      await node.must('run', '--rm', 'test.gantry/whiteout:1', 'sh', '-c', 'ls /data /deep'),
      '/data:\n\n/deep:\nnew',
    );
    await node.must('rmi', 'test.gantry/whiteout:1');
  });

  test('an archive that is cut off anywhere is refused, and leaves nothing', async () => {
    const node = getNode();
    const before = await node.must('images', '-q');
    const whole = join(node.directory, 'whole.tar');
    writeArchive(whole, [{ ...boxImage(), reference: 'test.gantry/cut:1' }]);
    const content = readFileSync(whole);
    for (const part of [0, 100, 0.3, 0.7, 0.9]) {
      const length = part < 1 ? Math.floor(content.length * part) : part;
      const file = join(node.directory, 'cut.tar');
      writeFileSync(file, content.subarray(0, length));
      const { code, stderr } = await node.gantry(['load', '-i', file]);
      assert.equal(code, 1, `${length} bytes: ${stderr}`);
      assert.ok(stderr.trim().split('\n').length <= 2 && stderr.length > 10, stderr);
    }
    assert.equal(await node.must('images', '-q'), before);
  });

  const hostile: readonly (readonly [string, readonly TarEntry[]])[] = [
    ['an absolute name', [{ path: '/gantry-escaped', kind: 'file', content: 'x' }]],
    ['a name with ..', [{ path: '../../../../../../gantry-escaped', kind: 'file', content: 'x' }]],
    [
      'a file through a symbolic link out of the tree',
      [
        { path: 'way', kind: 'symlink', target: '/' },
        { path: 'way/gantry-escaped', kind: 'file', content: 'x' },
      ],
    ],
    [
      'a hard link to a file outside',
      [{ path: 'passwd', kind: 'hardlink', target: '../../../../../../etc/passwd' }],
    ],
  ];
  for (const [title, entries] of hostile) {
    test(`a layer with ${title} writes nothing outside its tree`, async () => {
      const node = getNode();
      const file = join(node.directory, 'hostile.tar');
      writeFileSync(file, dockerArchive('test.gantry/hostile:1', packTar(entries)));
      const { code, stderr } = await node.gantry(['load', '-i', file]);
      assert.throws(() => readFileSync('/gantry-escaped'));
      if (code === 0) await node.must('rmi', 'test.gantry/hostile:1');
      else assert.match(stderr, /gantry-escaped|passwd|way|layer/);
    });
  }

  test('images lists, rmi refuses what a container uses and names it, prune removes the rest', async () => {
    const node = getNode();
    assert.match(await node.must('images'), /test\.gantry\/box\s+1\s/);
    await node.must('create', '--name', 'holder', testImage, 'true');
    const { code, stderr } = await node.gantry(['rmi', testImage]);
    assert.equal(code, 1);
    assert.match(stderr, /holder|in use|used/);
    const described = JSON.parse(await node.must('inspect', testImage)) as { Config?: { Env?: string[] } }[];
    assert.ok(described[0]?.Config?.Env?.includes('FROM_IMAGE=yes'));
  });
});
