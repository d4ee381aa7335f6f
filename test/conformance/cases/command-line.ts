import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import { differently, type Case } from '../case.js';
import { isUnified } from '../machine.js';
import { processLine } from '../subject.js';

export const commandLineCases: readonly Case[] = [
  {
    title: 'exec runs a further process in the container and answers with its exit code',
    covers: ['exec'],
    async judge(t) {
      const pid = await t.live();
      const { code, stdout } = await t.exec([
        'sh',
        '-c',
        'readlink /proc/self/ns/mnt; readlink /proc/1/ns/mnt; exit 5',
      ]);
      assert.equal(code, 5);
      const [own, first] = stdout.trim().split('\n');
      assert.equal(own, first);
      assert.ok(pid > 0);
    },
  },
  {
    title: 'exec takes --cwd, --env, --user and --additional-gids',
    covers: ['exec --cwd', 'exec --env', 'exec --user'],
    async judge(t) {
      await t.live();
      const { stdout } = await t.exec(
        ['sh', '-c', 'pwd; echo $MORE; id -u; id -g'],
        ['--cwd', '/etc', '--env', 'MORE=yes', '--user', '1000:1001'],
      );
      assert.equal(stdout, '/etc\nyes\n1000\n1001\n');
    },
    differs: { crun: differently('crun 1.8 takes no spelling of these flags with a blank', /./) },
  },
  {
    title: 'exec takes a process from a file',
    covers: ['exec --process'],
    async judge(t) {
      await t.live();
      const file = join(t.directory, 'process.json');
      writeFileSync(
        file,
        JSON.stringify({
          ...t.spec.process,
          args: ['sh', '-c', 'pwd; echo $FROM'],
          cwd: '/etc',
          env: ['PATH=/bin', 'FROM=file'],
        }),
      );
      assert.equal(await t.must(['exec', '--process', file, t.id]), '/etc\nfile\n');
    },
  },
  {
    title:
      'exec --cgroup is a cgroup below the container’s, in the hierarchies that have it, and never one beside it',
    covers: ['exec --cgroup'],
    async judge(t) {
      await t.live();
      const own = t.cgroupDirectory(isUnified ? '' : 'pids');
      for (const directory of [`${own}/inner`, `${own}-outside`]) {
        mkdirSync(directory);
        t.afterwards(() => {
          if (existsSync(directory)) rmdirSync(directory);
        });
      }
      assert.match(
        await t.must(['exec', '--cgroup', 'inner', t.id, 'cat', '/proc/self/cgroup']),
        /\/inner$/m,
      );
      for (const outside of [`../${t.id}-outside`, 'inner/..', 'inner/../inner', 'absent']) {
        const { code, stderr } = await t.exec(['true'], ['--cgroup', outside]);
        assert.notEqual(code, 0, outside);
        assert.match(stderr, /cgroup|sub/i);
      }
      await t.remove('--force');
    },
    differs: {
      runc: differently('runc 1.1 wants it in all hierarchies', /inner/),
      crun: differently('crun 1.8 takes the way out for another cgroup below', /outside|inner/),
    },
  },
  {
    title: 'exec --detach returns at once and --pid-file has its pid',
    covers: ['exec --detach', 'exec --pid-file'],
    async judge(t) {
      await t.live();
      const file = join(t.directory, 'exec.pid');
      assert.equal((await t.exec(['sleep', '90'], ['--detach', '--pid-file', file])).code, 0);
      assert.match(processLine(Number(readFileSync(file, 'utf8'))), /sleep 90/);
    },
  },
  {
    title: 'delete --force takes a container away that somebody else has frozen',
    covers: ['delete --force'],
    async judge(t) {
      if (isUnified) return;
      const pid = await t.live();
      const freezer = join(t.cgroupDirectory('freezer'), `../frozen-${t.id}`);
      mkdirSync(freezer);
      t.afterwards(() => {
        writeFileSync(join(freezer, 'freezer.state'), 'THAWED');
        for (const left of readFileSync(join(freezer, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
          process.kill(Number(left), 'SIGKILL');
        for (
          let tries = 0;
          tries < 200 && readFileSync(join(freezer, 'cgroup.procs'), 'utf8') !== '';
          tries++
        )
          spawnSync('sleep', ['0.02']);
        rmdirSync(freezer);
      });
      writeFileSync(join(freezer, 'cgroup.procs'), String(pid));
      writeFileSync(join(freezer, 'freezer.state'), 'FROZEN');
      await eventually('it is frozen', () =>
        readFileSync(join(freezer, 'freezer.state'), 'utf8').startsWith('FROZEN'),
      );
      const { code } = await t.ask(['delete', '--force', t.id], { timeoutMs: 5_000 });
      assert.equal(code, 0);
      assert.equal(readFileSync(join(freezer, 'cgroup.procs'), 'utf8'), '', 'its process is gone');
    },
    differs: {
      runc: differently('runc 1.1 waits for what cannot end', /./),
      crun: differently('crun 1.8 forgets the container and lets its process stand', /./),
    },
  },
  {
    title: 'exec of a command that does not exist fails and the container goes on',
    covers: ['exec'],
    async judge(t) {
      await t.live();
      assert.notEqual((await t.exec(['no-such-command'])).code, 0);
      assert.equal((await t.state()).status, 'running');
    },
  },
  {
    title: 'exec in a container that is stopped is an error',
    covers: ['exec'],
    async judge(t) {
      await t.create(['true']);
      await t.start();
      await t.statusIs('stopped');
      assert.notEqual((await t.exec(['true'])).code, 0);
    },
  },
  {
    title: 'pause freezes, state says paused, resume lets it go on',
    covers: ['pause', 'resume'],
    async judge(t) {
      await t.live();
      await t.must(['pause', t.id]);
      assert.equal((await t.state()).status, 'paused');
      await t.must(['resume', t.id]);
      assert.equal((await t.state()).status, 'running');
    },
  },
  {
    title: 'list has the container, and -q its id alone',
    covers: ['list', 'list --quiet', 'list --format'],
    async judge(t) {
      const pid = await t.live();
      assert.equal(await t.must(['list', '-q']), `${t.id}\n`);
      const all = JSON.parse(await t.must(['list', '--format', 'json'])) as {
        id: string;
        pid: number;
        status: string;
      }[];
      assert.deepEqual(
        all.map((one) => [one.id, one.pid, one.status]),
        [[t.id, pid, 'running']],
      );
    },
  },
  {
    title: 'ps has the processes of the container',
    covers: ['ps'],
    async judge(t) {
      const pid = await t.live();
      assert.deepEqual(JSON.parse(await t.must(['ps', '--format', 'json', t.id])), [pid]);
    },
  },
  {
    title: 'update changes the limits of a running container',
    covers: ['update', 'linux.resources.pids', 'linux.resources.pids.limit'],
    async judge(t) {
      t.spec.linux.resources = { pids: { limit: 50 } };
      await t.live();
      assert.equal(t.limit('pids', 'pids.max'), '50');
      await t.must(['update', '--pids-limit', '60', t.id]);
      assert.equal(t.limit('pids', 'pids.max'), '60');
    },
  },
  {
    title: 'spec writes a config.json that runs',
    covers: ['spec'],
    async judge(t) {
      await t.must(['spec'], { cwd: t.bundle });
      const spec = JSON.parse(readFileSync(join(t.bundle, 'config.json'), 'utf8')) as typeof t.spec;
      Object.assign(t.spec, spec);
      t.spec.linux.cgroupsPath = `/${t.id}`;
      assert.ok(t.spec.process);
      t.spec.process.terminal = false;
      t.spec.process.env = ['PATH=/bin'];
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
];
