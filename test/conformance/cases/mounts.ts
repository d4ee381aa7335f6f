import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { differently, type Case } from '../case.js';
import { bind, hostTree, look, tmpfs } from '../mounted.js';
import { inUserNamespace, mapping } from '../spec.js';

const idMapsNotYet = differently('id-mapped mounts came with runc 1.2', /./);
export const mountCases: readonly Case[] = [
  {
    title: 'mounts are made in the listed order',
    covers: ['mounts'],
    async judge(t) {
      mkdirSync(join(t.directory, 'one'));
      writeFileSync(join(t.directory, 'one/file'), 'bound last\n');
      t.spec.mounts.push(tmpfs([]), bind(join(t.directory, 'one'), ['bind'], '/data/below'));
      assert.equal(await t.inside('cat', '/data/below/file'), 'bound last\n');
    },
  },
  {
    title: 'mountinfo lists binds and file systems in the order of the configuration',
    covers: ['mounts'],
    async judge(t) {
      const source = join(t.directory, 'one');
      mkdirSync(source);
      t.spec.mounts.push(
        tmpfs([], '/order/1'),
        bind(source, ['bind'], '/order/2'),
        tmpfs([], '/order/3'),
        bind(source, ['rbind', 'rslave'], '/order/4'),
        bind(source, ['rbind', 'rshared', 'ro'], '/order/5'),
        tmpfs([], '/order/6'),
      );
      const table = await t.inside('cat', '/proc/self/mountinfo');
      assert.deepEqual(
        [...table.matchAll(/ \/order\/(\d) /g)].map(([, number]) => number),
        ['1', '2', '3', '4', '5', '6'],
      );
    },
  },
  {
    title: 'a bind mount made a slave hears what the host mounts later',
    covers: ['mount option rslave'],
    async judge(t) {
      const source = hostTree(t, 'shared');
      t.spec.linux['rootfsPropagation'] = 'slave';
      t.spec.mounts.push(bind(source, ['rbind', 'rslave']));
      await t.live();
      const late = join(source, 'late');
      mkdirSync(late);
      assert.equal(spawnSync('mount', ['-t', 'tmpfs', 'conformance', late]).status, 0);
      t.afterwards(() => spawnSync('umount', ['-l', late]));
      assert.match(await t.execOutput('cat', '/proc/self/mountinfo'), / \/data\/late /);
    },
  },
  {
    title: 'a tmpfs whose mode is not said has that of the directory it covers',
    covers: ['mounts[].options'],
    async judge(t) {
      chmodSync(join(t.rootfs, 'data'), 0o712);
      t.spec.mounts.push(tmpfs(['size=64k']));
      assert.equal(await t.inside('stat', '-c', '%a', '/data'), '712\n');
    },
    differs: { crun: differently('crun 1.8 leaves the mode to the kernel', /1777/) },
  },
  {
    title: 'a read-only tmpfs takes the mounts and devices beneath it before it becomes read-only',
    covers: ['mount option ro', 'linux.devices'],
    async judge(t) {
      for (const mount of t.spec.mounts)
        if (mount.destination === '/dev') mount.options = [...(mount.options ?? []), 'ro'];
      assert.match(
        await t.shell(
          'cat /dev/null; ls /dev/pts/ptmx; touch /dev/new 2>&1; grep " /dev tmpfs" /proc/mounts',
        ),
        /^\/dev\/pts\/ptmx\n.*Read-only file system\n.* ro,/s,
      );
    },
  },
  {
    title: 'a later mount at the same place covers the earlier',
    covers: ['mounts'],
    async judge(t) {
      t.spec.mounts.push(tmpfs(['size=64k']), tmpfs(['size=128k']));
      assert.ok((await look(t, '/data')).superOptions.includes('size=128k'));
    },
  },
  {
    title: 'type, source and options go to the kernel',
    covers: ['mounts[].type', 'mounts[].source', 'mounts[].options'],
    async judge(t) {
      t.spec.mounts.push({
        destination: '/data',
        type: 'tmpfs',
        source: 'named',
        options: ['size=64k', 'mode=1770', 'nr_inodes=17'],
      });
      const said = await t.shell('grep " /data " /proc/self/mountinfo; stat -c %a /data');
      assert.match(said, / - tmpfs named rw,.*size=64k,nr_inodes=17,mode=1770/);
      assert.match(said, /^1770$/m);
    },
    differs: { runc: differently('runc 1.1 gives a tmpfs the mode of the directory that it covers', /755/) },
  },
  {
    title: 'an option that the file system does not know is an error that names the place',
    covers: ['mounts[].options'],
    async judge(t) {
      t.spec.mounts.push(tmpfs(['no-such-option=1']));
      await t.refused(/data/);
    },
  },
  {
    title: 'a relative destination is below the root',
    covers: ['mounts[].destination'],
    async judge(t) {
      t.spec.mounts.push(tmpfs(['size=64k'], 'data'));
      assert.ok((await look(t, '/data')).superOptions.includes('size=64k'));
    },
  },
  {
    title: 'a destination that does not exist is made, with its parents',
    covers: ['mounts[].destination'],
    async judge(t) {
      t.spec.mounts.push(tmpfs(['size=64k'], '/made/on/demand'));
      assert.ok((await look(t, '/made/on/demand')).superOptions.includes('size=64k'));
    },
  },
  {
    title: 'a destination through a symbolic link stays inside the root',
    covers: ['mounts[].destination'],
    async judge(t) {
      symlinkSync('/../../../../../../../escaped', join(t.rootfs, 'link'));
      t.spec.mounts.push(tmpfs(['size=64k'], '/link/below'));
      assert.ok((await look(t, '/escaped/below')).superOptions.includes('size=64k'));
      assert.ok(!existsSync('/escaped'), 'made on the host');
    },
    differs: { crun: differently('crun makes no target of a link that leads nowhere', /openat2 `link`/) },
  },
  {
    title: 'bind shows the source and not what is mounted below it',
    covers: ['mount option bind'],
    async judge(t) {
      t.spec.mounts.push(bind(hostTree(t), ['bind']));
      assert.equal(await t.shell('cat /data/file; ls /data/inner'), 'from the host\n');
    },
  },
  {
    title: 'rbind shows what is mounted below the source too',
    covers: ['mount option rbind'],
    async judge(t) {
      t.spec.mounts.push(bind(hostTree(t), ['rbind']));
      assert.equal(await t.inside('cat', '/data/inner/file'), 'from the host\n');
    },
  },
  {
    title: 'a bind source relative to the bundle is found there',
    covers: ['mounts[].source'],
    async judge(t) {
      mkdirSync(join(t.bundle, 'volume'));
      writeFileSync(join(t.bundle, 'volume/file'), 'of the bundle\n');
      t.spec.mounts.push(bind('volume', ['bind']));
      assert.equal(await t.inside('cat', '/data/file'), 'of the bundle\n');
    },
  },
  {
    title: 'a file is bound onto a file that is made for it',
    covers: ['mounts[].destination', 'mount option bind'],
    async judge(t) {
      writeFileSync(join(t.directory, 'single'), 'one file\n');
      t.spec.mounts.push(bind(join(t.directory, 'single'), ['bind'], '/etc/made/single'));
      assert.equal(await t.inside('cat', '/etc/made/single'), 'one file\n');
    },
  },
  {
    title: 'a bind source that does not exist is an error that names it',
    covers: ['mounts[].source'],
    async judge(t) {
      t.spec.mounts.push(bind(join(t.directory, 'absent'), ['bind']));
      await t.refused(/absent/);
    },
  },
  {
    title: 'a bind mount can be read-only while its source is not',
    covers: ['mount option bind', 'mount option ro'],
    async judge(t) {
      t.spec.mounts.push(bind(hostTree(t), ['rbind', 'ro']));
      assert.match(
        await t.shell('touch /data/new 2>&1; cat /data/file'),
        /Read-only file system\nfrom the host/s,
      );
    },
  },
  {
    title: 'what the container writes through a bind mount is on the host',
    covers: ['mount option bind'],
    async judge(t) {
      const source = hostTree(t);
      t.spec.mounts.push(bind(source, ['bind', 'rw']));
      await t.shell('echo x >/data/new');
      assert.ok(existsSync(join(source, 'new')));
    },
  },
  {
    title: 'a bind mount keeps nosuid, nodev and noexec asked for it',
    covers: ['mount option bind', 'mount option nosuid', 'mount option nodev', 'mount option noexec'],
    async judge(t) {
      t.spec.mounts.push(bind(hostTree(t), ['bind', 'nosuid', 'nodev', 'noexec']));
      const { options } = await look(t, '/data');
      assert.deepEqual(
        ['nosuid', 'nodev', 'noexec'].filter((name) => !options.includes(name)),
        [],
      );
    },
  },
  {
    title: 'remount changes the flags of what is mounted already',
    covers: ['mount option remount'],
    async judge(t) {
      t.spec.mounts.push(tmpfs(['size=64k']), {
        destination: '/data',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['remount', 'ro', 'size=64k'],
      });
      assert.ok((await look(t, '/data')).options.includes('ro'));
    },
  },
  {
    title: 'tmpcopyup fills the tmpfs with what it covers',
    covers: ['mount option tmpcopyup'],
    async judge(t) {
      t.writeInside('data/sub/file', 'copied\n', 0o640);
      symlinkSync('sub/file', join(t.rootfs, 'data/link'));
      t.spec.mounts.push(tmpfs(['tmpcopyup']));
      assert.equal(
        await t.shell('cat /data/link; stat -c "%a %F" /data/sub/file; stat -f -c %T /data'),
        'copied\n640 regular file\ntmpfs\n',
      );
      assert.equal(lstatSync(join(t.rootfs, 'data/sub/file')).isFile(), true);
    },
  },
  {
    title: 'a shared mount in a user namespace hears the host and does not speak to it',
    covers: ['mount option rshared'],
    async judge(t) {
      inUserNamespace(t.spec);
      t.spec.mounts.push(bind(hostTree(t, 'shared'), ['rbind', 'rshared']));
      const { tags } = await look(t, '/data');
      assert.match(tags, /shared:\d+ master:\d+/);
    },
    differs: { crun: differently('crun 1.8 leaves the mount private', /shared/) },
  },
  {
    title: 'a mark for the top mount alone is not on the mounts below',
    covers: ['mount option rnosuid', 'mount option ro'],
    async judge(t) {
      t.spec.mounts.push(bind(hostTree(t), ['rbind', 'ro', 'rnosuid']));
      assert.ok((await look(t, '/data')).options.includes('ro'));
      const { options } = await look(t, '/data/inner');
      assert.ok(options.includes('nosuid') && options.includes('rw'), options.join());
    },
  },
  {
    title: 'idmap with mappings of the mount shows the owner as mapped',
    covers: [
      'mount option idmap',
      'mounts[].uidMappings[].*',
      'mounts[].uidMappings',
      'mounts[].gidMappings[].*',
      'mounts[].gidMappings',
    ],
    async judge(t) {
      const source = join(t.directory, 'owned');
      mkdirSync(source);
      writeFileSync(join(source, 'file'), '');
      chownSync(join(source, 'file'), 7, 8);
      const ids = [{ containerID: 0, hostID: 1000, size: 100 }];
      t.spec.mounts.push({ ...bind(source, ['bind', 'idmap']), uidMappings: ids, gidMappings: ids });
      assert.equal(await t.inside('stat', '-c', '%u %g', '/data/file'), '1007 1008\n');
      assert.equal(statSync(join(source, 'file')).uid, 7);
    },
    differs: { runc: idMapsNotYet },
  },
  {
    title: 'idmap without mappings takes those of the container',
    covers: ['mount option idmap'],
    async judge(t) {
      inUserNamespace(t.spec);
      const source = join(t.directory, 'owned');
      mkdirSync(source);
      writeFileSync(join(source, 'file'), '');
      chownSync(join(source, 'file'), 7, 8);
      t.spec.mounts.push(bind(source, ['bind', 'idmap']));
      assert.equal(await t.inside('stat', '-c', '%u %g', '/data/file'), '7 8\n');
    },
    differs: { runc: idMapsNotYet },
  },
  {
    title: 'ridmap maps the mounts below too',
    covers: ['mount option ridmap'],
    async judge(t) {
      inUserNamespace(t.spec);
      t.spec.mounts.push({
        ...bind(hostTree(t), ['rbind', 'ridmap']),
        uidMappings: mapping,
        gidMappings: mapping,
      });
      assert.equal(await t.inside('stat', '-c', '%u', '/data/file', '/data/inner/file'), '0\n0\n');
    },
    differs: {
      runc: idMapsNotYet,
      crun: differently('crun 1.8 loses the mounts below', /inner/),
    },
  },
  {
    title: 'idmap without mappings and without a user namespace is refused',
    covers: ['mount option idmap'],
    async judge(t) {
      t.spec.mounts.push(bind(hostTree(t), ['bind', 'idmap']));
      await t.refused(/idmap|mapping/i);
    },
    differs: {
      runc: idMapsNotYet,
      crun: differently(
        'crun 1.8 leaves the refusal to the kernel',
        /mount_setattr .* Operation not permitted/,
      ),
    },
  },
  {
    title: 'a mount with uidMappings and without gidMappings is refused',
    covers: ['mounts[].uidMappings', 'mounts[].gidMappings'],
    async judge(t) {
      t.spec.mounts.push({ ...bind(hostTree(t), ['bind', 'idmap']), uidMappings: mapping });
      await t.refused(/mapping/i);
    },
    differs: { runc: idMapsNotYet },
  },
  {
    title: 'a cgroup mount shows the hierarchies, read-only when asked',
    covers: ['mounts[].type'],
    async judge(t) {
      t.spec.linux.namespaces.push({ type: 'cgroup' });
      t.spec.mounts.push({
        destination: '/sys/fs/cgroup',
        type: 'cgroup',
        source: 'cgroup',
        options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
      });
      const said = await t.shell(
        'find() { ls -R /sys/fs/cgroup | grep cgroup.procs | head -1; }; find; mkdir /sys/fs/cgroup/new /sys/fs/cgroup/memory/new 2>&1 || true',
      );
      assert.match(said, /cgroup\.procs/);
      assert.match(said, /Read-only file system/);
    },
  },
  {
    title: 'mqueue and proc and sysfs are mounted as their types',
    covers: ['mounts[].type'],
    async judge(t) {
      t.spec.mounts.push({
        destination: '/dev/mqueue',
        type: 'mqueue',
        source: 'mqueue',
        options: ['nosuid', 'noexec', 'nodev'],
      });
      const said = await t.shell('mount');
      for (const line of [
        /mqueue on \/dev\/mqueue type mqueue/,
        /proc on \/proc type proc/,
        /sysfs on \/sys type sysfs \(ro/,
      ])
        assert.match(said, line);
    },
  },
  {
    title: 'a mount onto the host through a hostile link in the root does not happen',
    covers: ['mounts[].destination'],
    async judge(t) {
      mkdirSync(join(t.directory, 'victim'));
      symlinkSync(`${'../'.repeat(12)}${t.directory.slice(1)}/victim`, join(t.rootfs, 'trap'));
      t.spec.mounts.push(tmpfs([], '/trap/deep'));
      await t.run(['true']);
      assert.ok(!existsSync(join(t.directory, 'victim/deep')), 'made on the host');
    },
  },
];
