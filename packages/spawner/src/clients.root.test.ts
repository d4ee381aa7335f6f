import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { ShimConnection } from './shim-connection.js';
import { attachFlag, encodeAttach, encodeStdin, frameKind } from './shim-protocol.js';
import { eventually, skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';
import type { Container } from './spawner.js';

const options = { skip: skipUnlessRoot };
const MOST_ATTACHED = 60;
const MOST_CLIENTS = 64;
const EUSERS = 87;
const MOST_PRIVATE_KIB = 150;
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

async function attach({ main }: Container, flags: number): Promise<ShimConnection> {
  const client = await ShimConnection.open(main.directory.path);
  client.send(encodeAttach(flags, 0, 0));
  await client.next((message) => message.kind === 'attached', 5000);
  return client;
}

function privateKib(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)].reduce(
    (sum, [, kib]) => sum + Number(kib),
    0,
  );
}

test('sixty clients are attached at a time, and the next one is told why it is not', options, async () => {
  const container = await fixture.start(specOf(['sh', '-c', 'read line; echo "got $line"']), {
    openStdin: true,
  });
  const clients: ShimConnection[] = [];
  for (let count = 0; count < MOST_ATTACHED; count++)
    clients.push(await attach(container, attachFlag.output));
  await assert.rejects(
    fixture.attach({ containerId: container.id }),
    (error) =>
      isGantryError(error, 'resource_exhausted') &&
      error.retryable &&
      /as many attached clients/.test(error.message),
  );

  // The service's own and three more: nobody can keep the service from its shim by attaching.
  for (let count = MOST_ATTACHED + 1; count < MOST_CLIENTS; count++)
    clients.push(await ShimConnection.open(container.main.directory.path));
  for (const client of clients.slice(MOST_ATTACHED))
    await client.next((message) => message.kind === 'started', 5000);
  const refused = await ShimConnection.connect(container.main.directory.path, 'shim.sock');
  const answer = await refused.next((message) => message.kind === 'result', 5000);
  assert.deepEqual(answer, { kind: 'result', request: frameKind.hello, errno: EUSERS });
  await refused.closed;

  const output = clients.map(
    (client, index) =>
      new Promise<string>((resolve) => {
        let text = '';
        client.listen((message) => {
          if (message.kind === 'stdout') text += message.data.toString();
          if (message.kind === 'exit') resolve(text);
        });
        if (index >= MOST_ATTACHED) resolve('');
      }),
  );
  clients[MOST_ATTACHED]?.close();
  clients[0]?.close();
  await Promise.all([clients[0]?.closed, clients[MOST_ATTACHED]?.closed]);
  const last = await attach(container, attachFlag.stdin);
  last.send(encodeStdin(Buffer.from('it\n')));
  assert.equal((await container.main.exited).exitCode, 0);
  assert.deepEqual(new Set(await Promise.all(output.slice(1, MOST_ATTACHED))), new Set(['got it\n']));
  for (const client of [...clients, last]) client.close();
});

test('two clients write to one stdin, and the leaving of one does not end the other', options, async () => {
  const container = await fixture.start(specOf(['cat']), { openStdin: true, stdinOnce: false });
  const [one, two] = [
    await attach(container, attachFlag.stdin),
    await attach(container, attachFlag.stdin | attachFlag.output),
  ];
  let echoed = '';
  two.listen((message) => {
    if (message.kind === 'stdout') echoed += message.data.toString();
  });
  for (let count = 0; count < 200; count++) {
    one.send(encodeStdin(Buffer.from(`one ${count}\n`)));
    two.send(encodeStdin(Buffer.from(`two ${count}\n`)));
  }
  one.send(encodeStdin(Buffer.from('one leaves\n')));
  await eventually('both are echoed', () => echoed.includes('one leaves\n') && echoed.includes('two 199\n'));
  one.close();
  two.send(encodeStdin(Buffer.from('two stays\n')));
  await eventually('the second goes on', () => echoed.includes('two stays\n'));
  for (const name of ['one', 'two'])
    assert.deepEqual(
      echoed.split('\n').filter((line) => new RegExp(`^${name} \\d+$`).test(line)),
      Array.from({ length: 200 }, (_, index) => `${name} ${index}`),
    );
  container.main.signal(9);
  await container.main.exited;
  two.close();
});

test('a client that always has more to send does not keep the others from stdin', options, async () => {
  const script = 'while dd bs=4096 count=1 2>/dev/null; do usleep 2000; done';
  const container = await fixture.start(specOf(['sh', '-c', script]), { openStdin: true, stdinOnce: false });
  const [eager, other] = [
    await attach(container, attachFlag.stdin),
    await attach(container, attachFlag.stdin | attachFlag.output),
  ];
  let heard = false;
  other.listen((message) => {
    if (message.kind === 'stdout' && message.data.includes('the other')) heard = true;
  });
  // Some ten seconds of work for the process, all of it waiting in the shim's socket and here.
  eager.send(encodeStdin(Buffer.alloc(20_000_000, 'more\n')));
  other.send(encodeStdin(Buffer.from('the other\n')));
  await eventually('the other is heard', () => heard);
  container.main.signal(9);
  await container.main.exited;
  eager.close();
  other.close();
});

test(
  'a lone shim stays within 150 KiB, its program counted, whatever was written and whoever came and went',
  { ...options, timeout: 40_000 },
  async () => {
    const text = '0123456789'.repeat(12);
    const script = `read line; yes ${text} | head -c 100000000; echo done >&2; read line`;
    const log = { path: fixture.logPath('memory'), maxSizeBytes: 10_000_000, maxFiles: 5 };
    const container = await fixture.start(specOf(['sh', '-c', script]), { openStdin: true, log });
    const { shimPid } = container.main.start;
    const client = await attach(container, attachFlag.stdin | attachFlag.output | attachFlag.lossless);
    const done = new Promise<void>((resolve) =>
      client.listen((message) => {
        if (message.kind === 'stderr') resolve();
      }),
    );
    const before = privateKib(shimPid);
    client.send(encodeStdin(Buffer.from('go\n')));
    await done;
    const afterOutput = privateKib(shimPid);
    for (let count = 0; count < 2000; count++) (await attach(container, attachFlag.output)).close();
    const afterClients = privateKib(shimPid);
    for (const kib of [before, afterOutput, afterClients])
      assert.ok(kib > 0 && kib <= MOST_PRIVATE_KIB, `${before}, ${afterOutput}, ${afterClients} KiB`);
    assert.ok(afterClients - afterOutput <= 8, `${afterOutput} KiB grew to ${afterClients} KiB`);
    client.send(encodeStdin(Buffer.from('end\n')));
    await container.main.exited;
    client.close();
  },
);

test('a memory kill is counted although the cgroup is removed before the shim looks', options, async () => {
  const cgroups = fixture.makeCgroups('oom-gone', ['memory']);
  const [memory] = cgroups;
  // Where there is only cgroup v2 the kill is seen as it happens; that cgroups' own tests prove.
  if (memory === undefined) return;
  writeFileSync(join(memory.path, 'memory.limit_in_bytes'), String(8 << 20));
  const container = await fixture.start(
    specOf([
      'sh',
      '-c',
      'read line; echo read; usleep 300000; exec dd if=/dev/zero of=/dev/null bs=64M count=1',
    ]),
    { cgroups, openStdin: true },
  );
  const { pid, shimPid } = container.main.start;
  const client = await attach(container, attachFlag.stdin);
  client.send(encodeStdin(Buffer.from('go\n')));
  await eventually('it is about to grow', () => fixture.readLog(container.id).length === 1);
  process.kill(shimPid, 'SIGSTOP');
  try {
    await eventually('it is killed', () => /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
    await eventually('its cgroup is removed', () => {
      try {
        rmdirSync(memory.path);
        return true;
      } catch {
        return false;
      }
    });
  } finally {
    process.kill(shimPid, 'SIGCONT');
    mkdirSync(memory.path, { recursive: true });
  }
  const exit = await container.main.exited;
  client.close();
  assert.equal(exit.signal, 9);
  assert.equal(exit.oomKillCount, 1, `${exit.oomKillCount} kills counted`);
});
