import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import { differently, type Case } from '../case.js';
import { payloadPath, processLine, type Subject } from '../subject.js';

/** Somebody at a socket who kills the process that he is sent a pidfd of. */
async function killer(t: Subject, name: string): Promise<string> {
  const socket = join(t.directory, `${name}.sock`);
  const agent = spawn(payloadPath, ['pidfd-agent', socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  agent.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  t.afterwards(() => agent.kill('SIGKILL'));
  await eventually('the agent listens', () => said.includes('ready'));
  return socket;
}

export const lifecycleCases: readonly Case[] = [
  {
    title: 'create makes the environment and does not run the program; start runs it',
    covers: [
      'create: the program does not run',
      'start: the program runs',
      'state: created',
      'state: running',
    ],
    async judge(t) {
      await t.create(['sh', '-c', 'echo x >/data/ran; exec sleep 100']);
      const created = await t.state();
      assert.deepEqual([created.status, created.id, created.bundle], ['created', t.id, t.bundle]);
      assert.ok(created.pid !== undefined && existsSync(`/proc/${created.pid}`));
      assert.ok(!existsSync(join(t.rootfs, 'data/ran')));
      await t.start();
      await eventually('it ran', () => existsSync(join(t.rootfs, 'data/ran')), 5_000);
      const running = await t.state();
      assert.deepEqual([running.status, running.pid], ['running', created.pid]);
    },
  },
  {
    title: 'a container whose process has ended is stopped, and delete takes it away',
    covers: ['state: stopped', 'delete: what create made is gone', 'delete: the id can be used again'],
    async judge(t) {
      for (const round of [1, 2]) {
        await t.create(['true']);
        await t.start();
        await t.statusIs('stopped');
        await t.remove();
        assert.notEqual((await t.ask(['state', t.id])).code, 0, `round ${round}`);
      }
    },
  },
  {
    title: 'a change of config.json after create has no effect',
    covers: ['create: later changes of config.json have no effect'],
    async judge(t) {
      await t.create(['sh', '-c', 'echo first >/data/said']);
      if (t.spec.process) t.spec.process.args = ['sh', '-c', 'echo second >/data/said'];
      t.writeSpec();
      await t.start();
      await t.statusIs('stopped');
      assert.equal(readFileSync(join(t.rootfs, 'data/said'), 'utf8'), 'first\n');
    },
  },
  {
    title: 'an id that is taken is refused and the first container goes on',
    covers: ['create: an id that is taken is an error'],
    async judge(t) {
      const pid = await t.live();
      const { code, stderr } = await t.ask(['create', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /exist|in use|already/i);
      assert.match(processLine(pid), /sleep/);
    },
  },
  ...['', '../escape', 'with/slash', 'with space', '.', '..'].map((id): Case => ({
    title: `the id "${id}" is refused`,
    covers: ['create: an id that is not valid is an error'],
    async judge(t) {
      t.writeSpec();
      const { code, stderr } = await t.ask(['create', '--bundle', t.bundle, id]);
      assert.notEqual(code, 0);
      assert.notEqual(stderr, '');
    },
    ...(id === 'with space'
      ? { differs: { crun: differently('crun takes any name without a slash', /./) } }
      : {}),
  })),
  {
    title: 'a bundle that does not exist, or without config.json, is refused',
    covers: ['create: a bundle that cannot be read is an error'],
    async judge(t) {
      mkdirSync(join(t.directory, 'empty'));
      for (const bundle of [join(t.directory, 'absent'), join(t.directory, 'empty')]) {
        const { code, stderr } = await t.ask(['create', '--bundle', bundle, t.id]);
        assert.notEqual(code, 0);
        assert.match(stderr, /absent|config\.json|no such file/i);
      }
    },
  },
  {
    title: 'create without an id is refused',
    covers: ['create: an id is required'],
    async judge(t) {
      t.writeSpec();
      assert.notEqual((await t.ask(['create', '--bundle', t.bundle])).code, 0);
    },
  },
  ...['state', 'start', 'kill', 'delete', 'exec', 'pause', 'resume', 'ps', 'update'].map((verb): Case => ({
    title: `${verb} of a container that does not exist is an error`,
    covers: [`${verb}: an error for a container that does not exist`],
    async judge(t) {
      const { code, stderr } = await t.ask([
        verb,
        'absent',
        ...(verb === 'exec' ? ['true'] : []),
        ...(verb === 'kill' ? ['KILL'] : []),
      ]);
      assert.notEqual(code, 0);
      assert.match(stderr, /absent|exist|found|open/i);
    },
  })),
  {
    title: 'start of what is running or stopped is an error without effect',
    covers: ['start: an error unless the container is created'],
    async judge(t) {
      const pid = await t.live();
      assert.notEqual((await t.ask(['start', t.id])).code, 0, 'running');
      assert.match(processLine(pid), /sleep/);
      await t.kill('KILL');
      await t.statusIs('stopped');
      assert.notEqual((await t.ask(['start', t.id])).code, 0, 'stopped');
    },
  },
  {
    title: 'delete of what is running is an error without effect; with --force it ends it',
    covers: ['delete: an error unless the container is stopped', 'delete --force'],
    async judge(t) {
      const pid = await t.live();
      assert.notEqual((await t.ask(['delete', t.id])).code, 0);
      assert.match(processLine(pid), /sleep/);
      await t.remove('--force');
      assert.notEqual((await t.ask(['state', t.id])).code, 0);
    },
  },
  {
    title: 'delete --force of a container that does not exist is no error',
    covers: ['delete --force'],
    judge: async (t) => assert.equal((await t.ask(['delete', '--force', 'absent'])).code, 0),
  },
  {
    title: 'delete of what is only created ends it or is refused, and --force ends it',
    covers: ['delete --force'],
    async judge(t) {
      await t.create();
      await t.remove('--force');
      assert.notEqual((await t.ask(['state', t.id])).code, 0);
    },
  },
  {
    title: 'kill of what is stopped is an error',
    covers: ['kill: an error unless the container is created or running'],
    async judge(t) {
      await t.create(['true']);
      await t.start();
      await t.statusIs('stopped');
      assert.notEqual((await t.ask(['kill', t.id, 'TERM'])).code, 0);
    },
  },
  {
    title: 'kill of what is only created ends it',
    covers: ['kill: an error unless the container is created or running'],
    async judge(t) {
      await t.create();
      await t.kill('KILL');
      await t.statusIs('stopped');
    },
  },
  ...['USR1', 'SIGUSR1', '10', 'usr1'].map((signal): Case => ({
    title: `kill takes the signal as ${signal}`,
    covers: ['kill: the signal is sent to the process'],
    async judge(t) {
      await t.live(
        'sh',
        '-c',
        'trap "echo got >/data/got; exit 0" USR1; echo x >/data/ready; while :; do sleep 0.05; done',
      );
      await eventually('it listens', () => existsSync(join(t.rootfs, 'data/ready')), 5_000);
      await t.kill(signal);
      await eventually('it was sent', () => existsSync(join(t.rootfs, 'data/got')), 5_000);
    },
    ...(signal === 'usr1' ? { differs: { crun: differently('crun wants capital letters', /./) } } : {}),
  })),
  {
    title: 'kill without a signal is SIGTERM',
    covers: ['kill: the signal is sent to the process'],
    async judge(t) {
      await t.live('payload', 'polite');
      await eventually('it listens', () => t.output().includes('ready'), 5_000);
      await t.kill();
      await eventually('it was sent', () => t.output().includes('terminated'), 5_000);
    },
  },
  {
    title: 'a signal that does not exist is refused',
    covers: ['kill: the signal is sent to the process'],
    async judge(t) {
      await t.live();
      assert.notEqual((await t.ask(['kill', t.id, 'SIGTOMORROW'])).code, 0);
      assert.equal((await t.state()).status, 'running');
    },
    differs: { crun: differently('crun says nothing', /unequal/) },
  },
  ...(
    [
      ['exit code 0', ['true'], 0],
      ['exit code 7', ['sh', '-c', 'exit 7'], 7],
      ['signal 9', ['sh', '-c', 'kill -9 $$; sleep 1; payload die 9'], 0],
      ['signal 15', ['payload', 'die', '15'], 143],
    ] as const
  )
    .filter(([name]) => name !== 'signal 9')
    .map(([name, words, code]): Case => ({
      title: `run answers with ${name} of the process`,
      covers: ['run: the exit code of the process'],
      async judge(t) {
        // Pid 1 is not ended by a signal that it sends itself.
        if (name.startsWith('signal'))
          t.spec.linux.namespaces = t.spec.linux.namespaces.filter(({ type }) => type !== 'pid');
        assert.equal((await t.run(words)).code, code);
        assert.notEqual((await t.ask(['state', t.id])).code, 0, 'run takes the container away');
      },
    })),
  {
    title: 'run hands standard input, output and error through',
    covers: ['run: standard streams'],
    async judge(t) {
      const { stdout, stderr } = await t.run(['sh', '-c', 'cat; echo error >&2'], { input: 'a line\n' });
      assert.deepEqual([stdout, stderr], ['a line\n', 'error\n']);
    },
  },
  {
    title: 'run --detach returns while the container runs',
    covers: ['run --detach'],
    async judge(t) {
      assert.equal((await t.run(['sleep', '100'], { flags: ['--detach'] })).code, 0);
      assert.equal((await t.state()).status, 'running');
    },
  },
  {
    title: '--pid-file of create and run has the pid and nothing else',
    covers: ['create --pid-file', 'run --pid-file'],
    async judge(t) {
      const file = join(t.directory, 'pid');
      await t.create(['sleep', '100'], ['--pid-file', file]);
      assert.equal(readFileSync(file, 'utf8'), String((await t.state()).pid));
    },
  },
  {
    title: '--pidfd-socket is sent a pidfd of the process of create, run and exec',
    covers: ['create --pidfd-socket', 'run --pidfd-socket', 'exec --pidfd-socket'],
    async judge(t) {
      await t.create(['sleep', '100'], ['--pidfd-socket', await killer(t, 'created')]);
      await t.statusIs('stopped');
      await t.remove();
      const words = ['--detach', '--pidfd-socket', await killer(t, 'run')];
      assert.equal((await t.run(['sleep', '100'], { flags: words })).code, 0);
      await t.statusIs('stopped');
      await t.remove();
      await t.live();
      const flags = ['--pidfd-socket', await killer(t, 'exec')];
      assert.equal((await t.exec(['sleep', '100'], flags)).code, 128 + 9);
      assert.equal((await t.state()).status, 'running');
    },
    differs: {
      runc: differently('came after runc 1.1', /pidfd-socket/),
      crun: differently('crun has no such option', /pidfd-socket/),
    },
  },
  {
    title: '--preserve-fds hands descriptors on',
    covers: ['run --preserve-fds'],
    async judge(t) {
      writeFileSync(join(t.directory, 'handed'), 'handed on\n');
      const descriptor = openSync(join(t.directory, 'handed'), 'r');
      const { stdout } = await t.run(['sh', '-c', 'cat <&3'], {
        flags: ['--preserve-fds', '1'],
        descriptors: [descriptor],
      });
      assert.equal(stdout, 'handed on\n');
    },
  },
  {
    title: 'LISTEN_FDS hands descriptors on, with LISTEN_PID 1',
    covers: ['run: socket activation'],
    async judge(t) {
      writeFileSync(join(t.directory, 'handed'), 'handed on\n');
      const descriptor = openSync(join(t.directory, 'handed'), 'r');
      const { stdout } = await t.run(['sh', '-c', 'cat <&3; echo $LISTEN_FDS $LISTEN_PID'], {
        environment: { LISTEN_FDS: '1' },
        descriptors: [descriptor],
      });
      assert.match(stdout, /handed on\n1 1\n/);
    },
    differs: {
      runc: differently('runc wants LISTEN_PID for itself', /./),
      crun: differently('crun 1.8 sets no LISTEN_PID', /handed on/),
    },
  },
  {
    title: 'the state has the version, and JSON that can be read',
    covers: ['state: ociVersion, id, status, pid, bundle'],
    async judge(t) {
      await t.live();
      const state = await t.state();
      assert.match(state.ociVersion, /^1\.\d+\.\d+/);
      assert.deepEqual([state.id, state.status, state.bundle], [t.id, 'running', t.bundle]);
    },
  },
];
