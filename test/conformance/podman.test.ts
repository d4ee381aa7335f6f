import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, isRoot } from '@gantry/test-harness';
import { PodmanSession, image, podmanRuntimes } from './podman-session.js';
import { isUnified } from './machine.js';

interface Step {
  readonly title: string;
  judge(podman: PodmanSession): Promise<void>;
}

const waits = [image, 'sh', '-c', 'trap "exit 7" TERM; while :; do sleep 0.1; done'];
const statusOf = (podman: PodmanSession, name: string): Promise<string> =>
  podman.inspect(name, '{{.State.Status}} {{.State.ExitCode}}');

async function fetched(podman: PodmanSession, url: string): Promise<string> {
  const script = 'fetch(process.argv[1]).then((r) => r.text()).then((t) => process.stdout.write(t))';
  return eventually(`${url} answers`, async () => {
    const { code, stdout } = await podman.inside(process.execPath, ['-e', script, url]);
    return code === 0 && stdout;
  });
}

const steps: readonly Step[] = [
  {
    title: 'run passes on what the program writes, reads and ends with',
    async judge(podman) {
      const { code, stdout, stderr } = await podman.ask(
        ...['run', '--rm', image, 'sh', '-c', 'echo out; echo err >&2; exit 42'],
      );
      assert.deepEqual([code, stdout, stderr], [42, 'out\n', 'err\n']);
      const piped = await podman.inside(
        'podman',
        podman.commandLine(['run', '--rm', '-i', image, 'cat']),
        'typed',
      );
      assert.deepEqual([piped.code, piped.stdout], [0, 'typed']);
    },
  },
  {
    title:
      'run ends with 127 for a program that is not there, 126 for one that cannot be run, 125 for its own mistakes',
    async judge(podman) {
      assert.equal((await podman.ask('run', '--rm', image, 'no-such-program')).code, 127);
      assert.equal((await podman.ask('run', '--rm', image, '/etc/passwd')).code, 126);
      assert.equal((await podman.ask('run', '--rm', '--no-such-flag', image)).code, 125);
    },
  },
  {
    title:
      'a detached container is logged, listed with a live pid, stopped in its own time and started again',
    async judge(podman) {
      const script = 'echo out; echo err >&2; trap "exit 7" TERM; while :; do sleep 0.1; done';
      await podman.must('run', '-d', '--name', 'detached', image, 'sh', '-c', script);
      await eventually('it is logged', async () => (await podman.must('logs', 'detached')).includes('out'));
      assert.equal((await podman.ask('logs', 'detached')).stderr, 'err\n');
      const pid = await podman.inspect('detached', '{{.State.Pid}}');
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^sh\0/);
      assert.equal(await statusOf(podman, 'detached'), 'running 0');
      await podman.must('stop', 'detached');
      assert.equal(await statusOf(podman, 'detached'), 'exited 7');
      await podman.must('start', 'detached');
      assert.equal(await statusOf(podman, 'detached'), 'running 0');
      await podman.must('rm', '-f', 'detached');
      assert.ok(!existsSync(`/proc/${pid}`), 'the process is gone');
    },
  },
  {
    title: 'kill ends a container with the signal, and wait tells its exit code',
    async judge(podman) {
      await podman.must('run', '-d', '--name', 'killed', ...waits);
      await podman.must('kill', '--signal', 'KILL', 'killed');
      assert.equal(await podman.must('wait', 'killed'), '137');
      assert.equal(await statusOf(podman, 'killed'), 'exited 137');
      await podman.must('rm', 'killed');
    },
  },
  {
    title: 'exec has the user, environment, directory and exit code that were asked for',
    async judge(podman) {
      await podman.must('run', '-d', '--name', 'entered', ...waits);
      const words = ['exec', '--user', 'alice', '--env', 'WORD=a b', '--workdir', '/tmp', 'entered'];
      const { code, stdout } = await podman.ask(...words, 'sh', '-c', 'id -u; echo $WORD; pwd; exit 9');
      assert.deepEqual([code, stdout], [9, '1000\na b\n/tmp\n']);
      assert.equal((await podman.ask('exec', 'entered', 'no-such-program')).code, 127);
      assert.equal((await podman.ask('exec', 'entered', '/etc')).code, 126);
      await podman.must('exec', '-d', 'entered', 'touch', '/tmp/detached');
      await eventually('a detached exec runs', async () =>
        (await podman.must('exec', 'entered', 'ls', '/tmp')).includes('detached'),
      );
      await podman.must('rm', '-f', '-t', '0', 'entered');
    },
  },
  {
    title: 'run -it and exec -it are at a terminal: what is typed arrives, the exit code comes back',
    async judge(podman) {
      const asks = 'tty; read word; echo "got $word"; exit 5';
      const { code, stdout } = await podman.atTerminal(
        ...([['run', '--rm', '-it', image, 'sh', '-c', asks], 'hello\r'] as const),
      );
      assert.match(stdout, /\/dev\/(pts\/\d|console)[^]*got hello/);
      assert.equal(code, 5);
      await podman.must('run', '-d', '--name', 'terminal', ...waits);
      const second = await podman.atTerminal(['exec', '-it', 'terminal', 'sh', '-c', asks], 'again\r');
      assert.match(second.stdout, /\/dev\/pts\/\d[^]*got again/);
      assert.equal(second.code, 5);
      await podman.must('rm', '-f', '-t', '0', 'terminal');
    },
  },
  {
    title: 'a paused container does not run until it is unpaused, and stats counts it',
    async judge(podman) {
      const counts = 'i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.05; done';
      await podman.must('run', '-d', '--name', 'paused', image, 'sh', '-c', counts);
      const pid = await podman.inspect('paused', '{{.State.Pid}}');
      const count = (): string => readFileSync(`/proc/${pid}/root/tmp/count`, 'utf8');
      await eventually('it counts', () => existsSync(`/proc/${pid}/root/tmp/count`) && count() > '');
      await podman.must('pause', 'paused');
      assert.equal(await statusOf(podman, 'paused'), 'paused 0');
      const stopped = count();
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(count(), stopped);
      await podman.must('unpause', 'paused');
      await eventually('it counts again', () => count() !== stopped);
      const stats = await podman.must(
        'stats',
        '--no-stream',
        '--format',
        '{{.PIDs}} {{.MemUsage}}',
        'paused',
      );
      assert.match(stats, /^[1-9]\d* [1-9][\d.]*[kM]?B \//);
      await podman.must('rm', '-f', '-t', '0', 'paused');
    },
  },
  {
    title: 'a health check runs in the container and is judged by its exit code',
    async judge(podman) {
      const check = ['--health-cmd', 'test -e /tmp/well', '--health-interval', 'disable'];
      await podman.must('run', '-d', '--name', 'checked', ...check, ...waits);
      assert.equal((await podman.ask('healthcheck', 'run', 'checked')).code, 1);
      await podman.must('exec', 'checked', 'touch', '/tmp/well');
      assert.equal((await podman.ask('healthcheck', 'run', 'checked')).code, 0);
      await podman.must('rm', '-f', '-t', '0', 'checked');
    },
  },
  {
    title: 'the root of a --read-only container cannot be written, its /tmp can',
    async judge(podman) {
      const script = 'touch /x; touch /tmp/y && echo wrote';
      const { code, stdout, stderr } = await podman.ask(
        'run',
        '--rm',
        '--read-only',
        image,
        'sh',
        '-c',
        script,
      );
      assert.deepEqual([code, stdout], [0, 'wrote\n'], stderr);
      assert.match(stderr, /\/x: Read-only file system/);
    },
  },
  {
    title: 'with --userns=auto the container’s root is an id of nobody on the machine and owns its files',
    async judge(podman) {
      const script = 'id -u; touch /made && ls -ln /made; cat /proc/self/uid_map';
      const answer = await podman.must('run', '--rm', '--userns=auto', image, 'sh', '-c', script);
      assert.match(answer, /^0\n-rw-r--r--\s+1 0\s+0 [^]*\n\s+0\s+1\d{6}\s+\d+$/);
    },
  },
  {
    title: 'a published port and the bridge address reach the container',
    async judge(podman) {
      const serves = [image, 'httpd', '-f', '-p', '80', '-h', '/etc'];
      await podman.must('run', '-d', '--name', 'served', '-p', '127.0.0.1:8080:80', ...serves);
      assert.match(await fetched(podman, 'http://127.0.0.1:8080/group'), /alice:x:1000/);
      const address = await podman.inspect('served', '{{.NetworkSettings.IPAddress}}');
      assert.match(await fetched(podman, `http://${address}/group`), /alice:x:1000/);
      await podman.must('rm', '-f', '-t', '0', 'served');
    },
  },
  {
    title: 'the containers of a pod share its network and its host name',
    async judge(podman) {
      const infra = ['--infra-image', image, '--infra-command', 'sleep 1000'];
      await podman.must('pod', 'create', '--name', 'shared', ...infra);
      const serves = [image, 'httpd', '-f', '-p', '81', '-h', '/etc'];
      await podman.must('run', '-d', '--pod', 'shared', '--name', 'first', ...serves);
      const asks =
        'hostname; for i in 1 2 3 4 5; do wget -qO- http://127.0.0.1:81/group && exit; sleep 0.3; done';
      const answer = await podman.must('run', '--rm', '--pod', 'shared', image, 'sh', '-c', asks);
      assert.match(answer, /^shared\n[^]*alice:x:1000/);
      await podman.must('pod', 'rm', '-f', '-t', '0', 'shared');
    },
  },
  {
    title: 'limits are in the cgroup, on the machine and as the container sees it',
    async judge(podman) {
      const id = await podman.must('run', '-d', '--memory', '32m', '--pids-limit', '17', ...waits);
      const file = isUnified ? 'memory.max' : 'memory.limit_in_bytes';
      assert.equal(podman.limit('memory', file, id), '33554432');
      assert.equal(podman.limit('pids', 'pids.max', id), '17');
      const own = `/sys/fs/cgroup/${isUnified ? '' : 'pids/'}pids.max`;
      assert.equal(await podman.must('exec', id, 'cat', own), '17');
      await podman.must('rm', '-f', '-t', '0', id);
    },
  },
  {
    title: 'volumes: a bind is read-only when said so, a named one is written and kept',
    async judge(podman) {
      const shared = join(podman.directory, 'shared');
      mkdirSync(shared);
      writeFileSync(join(shared, 'file'), 'seen\n');
      const volumes = ['-v', `${shared}:/shared:ro`, '-v', 'kept:/kept'];
      const script = 'cat /shared/file; touch /shared/x; echo kept >/kept/word';
      const { stdout, stderr } = await podman.ask('run', '--rm', ...volumes, image, 'sh', '-c', script);
      assert.equal(stdout, 'seen\n');
      assert.match(stderr, /\/shared\/x: Read-only file system/);
      assert.equal(await podman.must('run', '--rm', ...volumes, image, 'cat', '/kept/word'), 'kept');
      await podman.must('volume', 'rm', 'kept');
    },
  },
  {
    title: 'a seccomp profile of its own and no-new-privileges hold',
    async judge(podman) {
      const profile = join(podman.directory, 'profile.json');
      const denied = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 };
      const whole = {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_X86_64'],
        syscalls: [denied],
      };
      writeFileSync(profile, JSON.stringify(whole));
      const option = ['--security-opt', `seccomp=${profile}`];
      const { code, stderr } = await podman.ask('run', '--rm', ...option, image, 'mkdir', '/tmp/x');
      assert.equal(code, 1);
      assert.match(stderr, /Operation not permitted/);
      const secure = ['--security-opt', 'no-new-privileges', image, 'grep', '-E', 'NoNewPrivs|Seccomp:'];
      const answer = await podman.must('run', '--rm', ...secure, '/proc/self/status');
      assert.equal(answer, 'NoNewPrivs:\t1\nSeccomp:\t2');
    },
  },
  {
    title: 'with --init the program is a child of podman’s init',
    async judge(podman) {
      const answer = await podman.must(
        'run',
        '--rm',
        '--init',
        image,
        'sh',
        '-c',
        'cat /proc/1/cmdline; exit 0',
      );
      assert.match(answer, /podman-init\0--\0sh/);
    },
  },
];

const skip = isRoot ? false : 'this machine cannot be asked: containers need root';

for (const name of Object.keys(podmanRuntimes) as (keyof typeof podmanRuntimes)[])
  void describe(`podman with ${name}`, { skip, timeout: 240_000 }, () => {
    const podman = new PodmanSession(name);
    before(() => podman.open());
    after(async () => assert.deepEqual(await podman.close(), [], 'left behind'));
    for (const { title, judge } of steps) void test(title, () => judge(podman));
  });
