import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { differently, type Case } from '../case.js';
import { inUserNamespace } from '../spec.js';

/** root, hostname, domainname, annotations and the version. */
export const rootCases: readonly Case[] = [
  {
    title: 'a root path relative to the bundle is the root file system',
    covers: ['root', 'root.path'],
    judge: async (t) => assert.equal(await t.inside('cat', '/etc/marker'), 'root of the bundle\n'),
  },
  {
    title: 'an absolute root path is the root file system',
    covers: ['root.path'],
    async judge(t) {
      renameSync(t.rootfs, join(t.directory, 'elsewhere'));
      t.spec.root = { path: join(t.directory, 'elsewhere') };
      assert.equal(await t.inside('cat', '/etc/marker'), 'root of the bundle\n');
    },
  },
  {
    title: 'a root path through a symbolic link is followed',
    covers: ['root.path'],
    async judge(t) {
      renameSync(t.rootfs, join(t.bundle, 'real'));
      symlinkSync('real', t.rootfs);
      assert.equal(await t.inside('cat', '/etc/marker'), 'root of the bundle\n');
    },
    differs: { runc: differently('runc wants a root without symbolic links', /invalid rootfs/) },
  },
  {
    title: 'a root path that does not exist is refused',
    covers: ['root.path'],
    async judge(t) {
      rmSync(t.rootfs, { recursive: true });
      await t.refused(/rootfs|no such file|chdir/i);
    },
  },
  {
    title: 'a root path that is a file is refused',
    covers: ['root.path'],
    async judge(t) {
      writeFileSync(join(t.bundle, 'file'), '');
      t.spec.root = { path: 'file' };
      await t.refused(/file|not a directory/i);
    },
  },
  {
    title: 'a configuration without root is refused',
    covers: ['root'],
    async judge(t) {
      delete t.spec.root;
      await t.refused(/root/i);
    },
  },
  {
    title: 'a read-only root refuses writes and is ro in mountinfo',
    covers: ['root.readonly'],
    async judge(t) {
      t.spec.root = { path: 'rootfs', readonly: true };
      const said = await t.shell(
        'touch /new 2>&1; grep " / / \\|  / " /proc/self/mountinfo; cat /proc/self/mountinfo',
      );
      assert.match(said, /Read-only file system/);
      assert.match(said, /^\d+ \d+ \S+ \S+ \/ ro\b/m);
    },
  },
  {
    title: 'a root without readonly can be written',
    covers: ['root.readonly'],
    judge: async (t) => assert.equal(await t.shell('echo x >/new && cat /new'), 'x\n'),
  },
  {
    title: 'a read-only root still has writable mounts on it',
    covers: ['root.readonly', 'mounts'],
    async judge(t) {
      t.spec.root = { path: 'rootfs', readonly: true };
      t.spec.mounts.push({ destination: '/data', type: 'tmpfs', source: 'tmpfs' });
      assert.equal(await t.shell('echo x >/data/new && cat /data/new'), 'x\n');
    },
  },
  {
    title: 'nothing of the host is reachable above the root',
    covers: ['root.path'],
    async judge(t) {
      assert.equal(await t.shell('cat /../../../../etc/marker; cd /../..; pwd'), 'root of the bundle\n/\n');
    },
  },
  ...[false, true].map((isMapped): Case => ({
    title: `with --no-pivot ${isMapped ? 'and a user namespace ' : ''}the root is that of the bundle, for exec too`,
    covers: ['root.path', 'create: --no-pivot'],
    async judge(t) {
      if (isMapped) inUserNamespace(t.spec);
      t.spec.root = { path: 'rootfs', readonly: true };
      await t.create(['sleep', '100'], ['--no-pivot']);
      await t.start();
      const said = await t.execOutput(
        'sh',
        '-c',
        'cat /../../etc/marker; touch /new 2>&1; cut -d " " -f 5 /proc/self/mountinfo | grep -c "^/$"',
      );
      assert.match(said, /^root of the bundle\n.*Read-only file system\n1\n$/);
    },
  })),
  {
    title: 'the hostname is set in the container and not on the host',
    covers: ['hostname'],
    async judge(t) {
      t.spec.hostname = 'named-by-spec';
      assert.equal(await t.inside('hostname'), 'named-by-spec\n');
    },
  },
  {
    title: 'a hostname without a uts namespace of its own is refused',
    covers: ['hostname', 'linux.namespaces'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces.filter(({ type }) => type !== 'uts');
      await t.refused(/uts|hostname/i);
    },
  },
  {
    title: 'the domainname is set in the container',
    covers: ['domainname'],
    async judge(t) {
      t.spec.domainname = 'domain.test';
      assert.equal((await t.facts())['domainname'], 'domain.test');
    },
    differs: { runc: differently('domainname came with runc 1.1.6 or later', /domain/) },
  },
  {
    title: 'hostname and domainname are set in a user namespace',
    covers: ['hostname', 'domainname'],
    async judge(t) {
      inUserNamespace(t.spec);
      t.spec.hostname = 'inner';
      t.spec.domainname = 'inner.test';
      const facts = await t.facts();
      assert.deepEqual([facts['hostname'], facts['domainname']], ['inner', 'inner.test']);
    },
    differs: { runc: differently('domainname came with runc 1.1.6 or later', /inner/) },
  },
  {
    title: 'annotations are in the state of the container',
    covers: ['annotations', 'state: annotations'],
    async judge(t) {
      t.spec.annotations = { 'org.test.one': 'first', 'two words': 'a "quoted" value' };
      await t.create();
      assert.deepEqual((await t.state()).annotations, t.spec.annotations);
    },
  },
  {
    title: 'an ociVersion of the next major version is refused',
    covers: ['ociVersion'],
    async judge(t) {
      t.spec.ociVersion = '2.0.0';
      await t.refused(/version/i);
    },
    differs: {
      runc: differently('runc 1.1 does not look at ociVersion', /accepted/),
    },
  },
  ...['1.0.0', '1.0.2-dev', '1.1.0', '1.2.1', '1.3.0'].map((version): Case => ({
    title: `a bundle of version ${version} runs`,
    covers: ['ociVersion'],
    async judge(t) {
      t.spec.ociVersion = version;
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
    ...(/^1\.[23]/.test(version)
      ? { differs: { crun: differently('crun 1.8 knows no version after 1.1', /unknown version/) } }
      : {}),
  })),
  {
    title: 'a configuration that is not JSON is refused',
    covers: ['create: a configuration that cannot be read is an error'],
    async judge(t) {
      mkdirSync(t.bundle, { recursive: true });
      writeFileSync(join(t.bundle, 'config.json'), '{"ociVersion": "1.0.2", ');
      const { code, stderr } = await t.ask(['run', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.notEqual(stderr, '');
      assert.notEqual((await t.ask(['state', t.id])).code, 0);
    },
  },
  {
    title: 'a property that the specification does not know is ignored',
    covers: ['ociVersion'],
    async judge(t) {
      t.spec['unknownProperty'] = { deep: [1, 2] };
      t.spec.linux['unknownToo'] = true;
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
];
