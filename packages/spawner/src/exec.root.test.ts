import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DEFAULT_CAPABILITIES, defaultSeccomp } from '@gantry/oci';
import { isGantryError } from '@gantry/protocol';
import { newId, processOf, skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';
import type { Container } from './spawner.js';

const options = { skip: skipUnlessRoot };
const seccomp = defaultSeccomp(DEFAULT_CAPABILITIES, process.arch === 'arm64' ? 'arm64' : 'x64');
let fixture: SpawnerFixture;
let container: Container;

before(async () => {
  if (skipUnlessRoot !== false) return;
  fixture = await SpawnerFixture.make();
  container = await fixture.start(specOf(['sleep', '600'], { linux: { seccomp } }), {
    cgroups: fixture.makeCgroups('exec', ['memory', 'pids']),
  });
});
after(async () => fixture?.remove());

async function run(args: readonly string[], more = {}) {
  const { execId, exec } = await fixture.exec(container.id, processOf(args, more), { holdOutput: true });
  return { ...(await fixture.attach({ containerId: container.id, execId })), exec, execId };
}

test('an exec is in all namespaces, the cgroups and the filter of its container', options, async () => {
  const script =
    'for n in user mnt net pid ipc uts cgroup time; do test "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" || echo $n; done; cat /proc/self/cgroup | sort > /a; sort /proc/1/cgroup > /b; cat /a; grep -E "Seccomp:|NoNew|CapEff" /proc/self/status; id -u';
  const { stdout, stderr, exitCode } = await run(['sh', '-c', script]);
  assert.equal(exitCode, 0, stderr);
  assert.doesNotMatch(stdout, /^(user|mnt|net|pid|ipc|uts|cgroup|time)$/m);
  assert.match(stdout, /:memory:\/$/m);
  assert.match(stdout, /CapEff:\s*00000000a80425fb\nNoNewPrivs:\s*1\nSeccomp:\s*2\n0\n$/);
});

test('exit codes, stdin and both streams of an exec are its own', options, async () => {
  const { execId } = await fixture.exec(container.id, processOf(['sh', '-c', 'cat; echo err >&2; exit 4']), {
    openStdin: true,
    holdOutput: true,
  });
  const answer = await fixture.attach({ containerId: container.id, execId, stdin: true }, [
    { stdin: Buffer.from('in') },
    { stdinEof: true },
  ]);
  assert.deepEqual(answer, { stdout: 'in', stderr: 'err\n', exitCode: 4 });
});

test('an exec that nobody attaches to does not wait for anybody', options, async () => {
  const { exec } = await fixture.exec(container.id, processOf(['seq', '1', '100000']));
  assert.equal((await exec.exited).exitCode, 0);
});

test('the end of an exec is told while its output is still held', options, async () => {
  const { exec, execId } = await fixture.exec(container.id, processOf(['echo', 'kept']), {
    holdOutput: true,
  });
  assert.equal((await exec.exited).exitCode, 0);
  assert.equal((await fixture.attach({ containerId: container.id, execId })).stdout, 'kept\n');
});

test('a signal reaches an exec, and its container goes on', options, async () => {
  const { exec } = await fixture.exec(container.id, processOf(['sleep', '60']));
  exec.signal(15);
  assert.equal((await exec.exited).signal, 15);
  assert.equal(container.main.exit, undefined);
});

test('losing the shim of an exec ends the exec alone', options, async () => {
  const { exec } = await fixture.exec(container.id, processOf(['sleep', '60']));
  process.kill(exec.start.shimPid, 'SIGKILL');
  assert.equal((await exec.exited).lost, true);
  assert.equal(container.main.exit, undefined);
  assert.equal((await run(['echo', 'on'])).stdout, 'on\n');
});

test(
  'commands that are not there or cannot run are told apart, and a retried exec runs once',
  options,
  async () => {
    await assert.rejects(
      fixture.exec(container.id, processOf(['nothing'])),
      (error) => isGantryError(error, 'not_found') && error.object === 'nothing',
    );
    await assert.rejects(fixture.exec(container.id, processOf(['/etc/passwd'])), (error) =>
      isGantryError(error, 'permission_denied'),
    );
    const execId = newId();
    const once = await fixture.exec(container.id, processOf(['sleep', '60']), { execId });
    const twice = await fixture.exec(container.id, processOf(['sleep', '60']), { execId });
    assert.equal(once.exec.start.pid, twice.exec.start.pid);
    once.exec.signal(9);
  },
);

test('execs end with their container, and none starts in one that has ended', options, async () => {
  const own = await fixture.start(specOf(['sleep', '60']));
  const { exec } = await fixture.exec(own.id, processOf(['sleep', '60']));
  own.main.signal(9);
  assert.equal((await exec.exited).signal, 9);
  await own.main.exited;
  await assert.rejects(fixture.exec(own.id, processOf(['true'])), (error) =>
    isGantryError(error, 'failed_precondition'),
  );
  await assert.rejects(fixture.exec(newId(), processOf(['true'])), (error) =>
    isGantryError(error, 'not_found'),
  );
});
