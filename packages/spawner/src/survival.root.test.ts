import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isGantryError, spawn } from '@gantry/protocol';
import {
  eventually,
  newId,
  processesIn,
  processesOf,
  processOf,
  skipUnlessRoot,
  SpawnerFixture,
  specOf,
} from './spawner-fixture.js';

const options = { skip: skipUnlessRoot };
const counting = 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo $i; usleep 2000; done';
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

/** A spawner in a process of its own, to be killed; it starts what it is sent. */
async function startVictim(): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('./spawner-victim.js', import.meta.url));
  const victim = fork(program, [fixture.runDirectory], { serialization: 'advanced' });
  await once(victim, 'message');
  return victim;
}

async function kill(victim: ChildProcess): Promise<void> {
  victim.kill('SIGKILL');
  await once(victim, 'exit');
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

function numbersLogged(id: string): number[] {
  return fixture.readLog(id).map(({ log }) => Number(log));
}

test(
  'a killed spawner costs a container nothing: same pid, no gap in its output, its exit known',
  options,
  async () => {
    const victim = await startVictim();
    const ids = [newId(), newId()] as const;
    const [counter, ending] = [
      fixture.request(ids[0], specOf(['sh', '-c', counting])),
      fixture.request(ids[1], specOf(['sh', '-c', 'sleep 0.5; exit 23'])),
    ];
    const pids: number[] = [];
    for (const request of [counter, ending]) {
      victim.send(spawn.StartContainerRequestCodec.encode(request));
      const [answer] = (await once(victim, 'message')) as [{ pid: number }];
      pids.push(answer.pid);
    }
    await kill(victim);
    const before = numbersLogged(ids[0]).length;
    await delay(700);
    await fixture.restart();
    const adopted = fixture.spawner.find(ids[0]);
    assert.equal(adopted?.main.start.pid, pids[0]);
    assert.equal(adopted?.main.exit, undefined);
    const ended = fixture.spawner.find(ids[1])?.main.exit;
    assert.deepEqual([ended?.exitCode, ended?.lost], [23, false]);
    await eventually('the missed exit is told', () =>
      fixture.exits.some(({ containerId, exit }) => containerId === ids[1] && exit.exitCode === 23),
    );
    adopted?.main.signal(9);
    assert.equal((await adopted?.main.exited)?.signal, 9);
    const numbers = numbersLogged(ids[0]);
    assert.ok(numbers.length > before + 50, 'it went on while there was no spawner');
    numbers.forEach((number, index) => assert.equal(number, index + 1));
  },
);

test(
  'execs and attached clients work after an adoption, and a retried start never runs twice',
  options,
  async () => {
    const request = fixture.request(newId(), specOf(['sh', '-c', 'echo run >> /runs; sleep 60']));
    const first = await fixture.spawner.start(request);
    const { exec } = await fixture.exec(request.containerId, processOf(['sleep', '60']));
    await fixture.restart();
    const again = await fixture.spawner.start(request);
    assert.equal(again.main.start.pid, first.main.start.pid);
    assert.equal([...again.execs.values()][0]?.start.pid, exec.start.pid);
    const { execId } = await fixture.exec(request.containerId, processOf(['cat', '/runs']), {
      holdOutput: true,
    });
    assert.equal((await fixture.attach({ containerId: request.containerId, execId })).stdout, 'run\n');
    await assert.rejects(fixture.spawner.start({ ...request, attempt: 2 }), (error) =>
      isGantryError(error, 'failed_precondition'),
    );
    again.main.signal(9);
    await again.main.exited;
    const second = await fixture.spawner.start({ ...request, attempt: 2 });
    assert.equal(second.attempt, 2);
    await assert.rejects(
      fixture.spawner.start(request),
      (error) => isGantryError(error, 'failed_precondition') && /older/.test(error.message),
    );
  },
);

test(
  'a spawner killed at any moment of a start leaves one container or none, never a second and never a remnant',
  options,
  async () => {
    for (let round = 0; round < 12; round++) {
      const victim = await startVictim();
      const request = fixture.request(newId(), specOf(['sleep', '60']));
      victim.send(spawn.StartContainerRequestCodec.encode(request));
      await delay(round);
      await kill(victim);
      await fixture.restart();
      const found = fixture.spawner.find(request.containerId);
      const container = await fixture.spawner.start(request);
      if (found !== undefined) assert.equal(container.main.start.pid, found.main.start.pid);
      const shims = processesOf(request.containerId);
      assert.deepEqual(shims, [container.main.start.shimPid], `round ${round}`);
      container.main.signal(9);
      await container.main.exited;
      await fixture.spawner.forget(request.containerId);
      await eventually('the shim is gone', () => processesOf(request.containerId).length === 0);
    }
  },
);

test('a killed shim takes its container along, and the exit is reported as lost', options, async () => {
  const { id, main } = await fixture.start(specOf(['sh', '-c', 'sleep 60 & sleep 60']));
  process.kill(main.start.shimPid, 'SIGKILL');
  const exit = await main.exited;
  assert.deepEqual([exit.lost, exit.exitCode], [true, 137]);
  await eventually('the container is dead', () => !isAlive(main.start.pid));
  await eventually('the exit is told', () =>
    fixture.exits.some(({ containerId, exit: told }) => containerId === id && told.lost),
  );
  await fixture.restart();
  assert.equal(fixture.spawner.find(id)?.main.exit?.lost, true, 'the next life knows it as well');
});

test('a killed shim takes along a container that cleared its parent death signal', options, async () => {
  mkdirSync(join(fixture.layer, 'suid'));
  copyFileSync('/bin/busybox', join(fixture.layer, 'suid/sleep'));
  chmodSync(join(fixture.layer, 'suid/sleep'), 0o4755);
  const user = { uid: 5, gid: 5 };
  const { main } = await fixture.start(specOf(['/suid/sleep', '60'], {}, { user, noNewPrivileges: false }), {
    cgroups: fixture.makeCgroups('lost', ['memory', 'pids']),
  });
  process.kill(main.start.shimPid, 'SIGKILL');
  assert.equal((await main.exited).lost, true);
  assert.equal(isAlive(main.start.pid), false, 'it was dead before the exit was told');
});

test(
  'a container that outlived its shim while there was no spawner is killed by the next one',
  options,
  async () => {
    mkdirSync(join(fixture.layer, 'suid'), { recursive: true });
    copyFileSync('/bin/busybox', join(fixture.layer, 'suid/sleep'));
    chmodSync(join(fixture.layer, 'suid/sleep'), 0o4755);
    const user = { uid: 5, gid: 5 };
    const { id, main } = await fixture.start(
      specOf(['/suid/sleep', '60'], {}, { user, noNewPrivileges: false }),
      { cgroups: fixture.makeCgroups('outlived', ['memory', 'pids']) },
    );
    fixture.spawner.leave();
    process.kill(main.start.shimPid, 'SIGKILL');
    await eventually('the shim is gone', () => !isAlive(main.start.shimPid));
    assert.equal(isAlive(main.start.pid), true, 'it cleared its parent death signal');
    await fixture.restart();
    assert.equal(fixture.spawner.find(id)?.main.exit?.lost, true);
    assert.equal(isAlive(main.start.pid), false);
  },
);

test('a shim killed while there is no spawner is found out by the next one', options, async () => {
  const { id, main } = await fixture.start(specOf(['sleep', '60']));
  fixture.spawner.leave();
  process.kill(main.start.shimPid, 'SIGKILL');
  await eventually('the container is dead', () => !isAlive(main.start.pid));
  await fixture.restart();
  assert.equal(fixture.spawner.find(id)?.main.exit?.lost, true);
});

test('the shim shrugs off the signals of terminals and service managers', options, async () => {
  const { main } = await fixture.start(specOf(['sleep', '60']));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE', 'SIGQUIT', 'SIGTSTP'] as const)
    process.kill(main.start.shimPid, signal);
  await delay(50);
  assert.ok(isAlive(main.start.shimPid));
  main.signal(9);
  assert.equal((await main.exited).signal, 9);
});

test('records of another boot and torn ones are swept', options, async () => {
  const [old, torn] = [newId(), newId()];
  for (const id of [old, torn]) mkdirSync(join(fixture.runDirectory, 'containers', id), { recursive: true });
  writeFileSync(
    join(fixture.runDirectory, 'containers', old, 'attempt.json'),
    JSON.stringify({ version: 1, attempt: 1, boot_id: 'another', cgroups: [] }),
  );
  writeFileSync(join(fixture.runDirectory, 'containers', torn, 'attempt.json'), '{"vers');
  await fixture.restart();
  const left = readdirSync(join(fixture.runDirectory, 'containers'));
  assert.ok(!left.includes(old) && !left.includes(torn));
});

test('a running container is not forgotten, an ended one leaves nothing', options, async () => {
  const { id, main } = await fixture.start(specOf(['sleep', '60']));
  await assert.rejects(fixture.spawner.forget(id), (error) => isGantryError(error, 'failed_precondition'));
  main.signal(9);
  await main.exited;
  await fixture.spawner.forget(id);
  await fixture.spawner.forget(id);
  assert.equal(existsSync(join(fixture.runDirectory, 'containers', id)), false);
  await eventually('the shim is reaped', () => !existsSync(`/proc/${main.start.shimPid}`));
});

test('fifty containers started eight at a time all run and all end', options, async () => {
  const work = Array.from({ length: 50 }, () => fixture.request(newId(), specOf(['sh', '-c', 'exit 5'])));
  const exits: number[] = [];
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let request = work.pop(); request !== undefined; request = work.pop())
        exits.push((await (await fixture.spawner.start(request)).main.exited).exitCode);
    }),
  );
  assert.deepEqual(
    exits,
    Array.from({ length: 50 }, () => 5),
  );
});

test(
  'a shim killed at any moment of a start leaves no process, whatever the answer was',
  options,
  async () => {
    for (const { main } of fixture.spawner.list()) {
      main.signal(9);
      await main.exited;
    }
    for (let round = 0; round < 25; round++) {
      const request = fixture.request(newId(), specOf(['sleep', '60']));
      fixture.onShim = (pid) => {
        const until = performance.now() + round * 0.1;
        while (performance.now() < until) continue;
        process.kill(pid, 'SIGKILL');
        fixture.onShim = () => {};
      };
      const answer = fixture.spawner.start(request).then(
        ({ main }) => main.exited,
        (error: unknown) => error,
      );
      const ended = await Promise.race([answer, delay(5000, 'alive')]);
      assert.notEqual(ended, 'alive');
      if (!isGantryError(ended)) assert.deepEqual(ended, { ...(ended as object), lost: true, exitCode: 137 });
      await eventually(
        'no process is left in the sandbox',
        () => processesIn(fixture.sandbox.user).length === 0,
      );
      assert.deepEqual(processesOf(request.containerId), []);
      await fixture.spawner.forget(request.containerId);
    }
  },
);

test('limits that this service may not raise are refused by name', options, async () => {
  const unprivileged =
    (BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`) >>
      24n) %
      2n ===
    0n;
  const start = fixture.start(
    specOf(['true'], {}, { rlimits: [{ type: 'RLIMIT_MEMLOCK', soft: 2 ** 62, hard: 2 ** 62 }] }),
  );
  if (unprivileged) await assert.rejects(start, /cannot raise resource limit RLIMIT_MEMLOCK: .*\(EPERM\)/);
  else assert.equal((await (await start).main.exited).exitCode, 0);
});
