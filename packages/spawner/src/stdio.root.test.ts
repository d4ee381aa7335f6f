import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from '@gantry/protocol';
import { attachProcess } from './attach.js';
import { ShimConnection } from './shim-connection.js';
import { attachFlag, encodeAttach } from './shim-protocol.js';
import {
  eventually,
  ID_BASE,
  newId,
  processOf,
  skipUnlessRoot,
  SpawnerFixture,
  specOf,
} from './spawner-fixture.js';

const options = { skip: skipUnlessRoot };
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

test('the log holds every line of both streams as JSON, with times', options, async () => {
  const { id } = await fixture.run(
    specOf(['sh', '-c', 'echo "a \\"b\\" \\\\ c"; echo err >&2; printf "no newline"']),
  );
  const lines = fixture.readLog(id);
  assert.deepEqual(
    lines.filter(({ stream }) => stream === 'stdout').map(({ log }) => log),
    ['a "b" \\ c\n', 'no newline'],
  );
  assert.deepEqual(
    lines.filter(({ stream }) => stream === 'stderr').map(({ log }) => log),
    ['err\n'],
  );
  for (const { time } of lines) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
});

test('bytes that are not UTF-8 and very long lines stay valid JSON', options, async () => {
  const { id } = await fixture.run(
    specOf([
      'sh',
      '-c',
      'printf "\\377\\001ok\\tä\\n"; head -c 40000 /dev/zero | sed s/./x/g | tr "\\\\000" x; echo',
    ]),
  );
  const [first, ...rest] = fixture.readLog(id);
  assert.equal(first?.log, '\ufffd\u0001ok\tä\n');
  assert.equal(rest.map(({ log }) => log).join('').length, 40001);
});

test('the log is rotated by size, the oldest file dropped, no line lost in between', options, async () => {
  const id = newId();
  const log = { path: fixture.logPath(id), maxSizeBytes: 10_000, maxFiles: 3 };
  const container = await fixture.spawner.start(fixture.request(id, specOf(['seq', '1', '1000']), { log }));
  await container.main.exited;
  const files = ['.2', '.1', ''].map((suffix) => log.path + suffix);
  for (const file of files) assert.ok(statSync(file).size <= 10_000, file);
  assert.equal(existsSync(`${log.path}.3`), false);
  const numbers = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => Number((JSON.parse(line) as { log: string }).log)),
  );
  assert.equal(numbers.at(-1), 1000);
  numbers.forEach((number, index) => assert.equal(number, (numbers[0] ?? 0) + index));
});

test('no log is written when none is asked for', options, async () => {
  const { main, id } = await fixture.start(specOf(['echo', 'x']), { log: { path: '' } });
  await main.exited;
  assert.equal(existsSync(fixture.logPath(id)), false);
});

test('held output is not missed by the first client, whenever the process ended', options, async () => {
  const { id } = await fixture.start(specOf(['seq', '1', '30000']), { holdOutput: true });
  await delay(100);
  const { stdout, exitCode } = await fixture.attach({ containerId: id });
  assert.equal(exitCode, 0);
  assert.equal(stdout, Array.from({ length: 30000 }, (_, index) => `${index + 1}\n`).join(''));
});

test('stdin goes to the process, and closing it ends the process with stdin_once', options, async () => {
  const { id } = await fixture.start(specOf(['cat']), { openStdin: true, stdinOnce: true, holdOutput: true });
  const big = Buffer.alloc(300_000, 'abc\n');
  const { stdout, exitCode } = await fixture.attach({ containerId: id, stdin: true }, [
    { stdin: Buffer.from('hello\n') },
    { stdin: big },
    { stdinEof: true },
  ]);
  assert.equal(exitCode, 0);
  assert.equal(stdout, `hello\n${big.toString()}`);
});

test('without open_stdin the process reads an empty stdin', options, async () => {
  const { stdout, exit } = await fixture.run(specOf(['sh', '-c', 'cat; echo end']));
  assert.equal(stdout, 'end\n');
  assert.equal(exit.exitCode, 0);
});

test('a client of a container that has ended is told how', options, async () => {
  const { id } = await fixture.run(specOf(['sh', '-c', 'exit 9']));
  assert.equal((await fixture.attach({ containerId: id })).exitCode, 9);
});

test('a terminal is a terminal, owned by its user, resized, and its output logged', options, async () => {
  const script =
    'tty; stat -c %u /dev/pts/0; stty size; test -t 0 && test -t 1 && test -t 2 && echo three; test -c /dev/console && echo console; read line; echo got $line; stty size';
  const { id, main } = await fixture.start(
    specOf(
      ['sh', '-c', script],
      {},
      { terminal: true, consoleSize: { height: 30, width: 90 }, user: { uid: 7, gid: 7 } },
    ),
    { openStdin: true, holdOutput: true },
  );
  async function* inputs() {
    await eventually('the prompt is reached', () =>
      fixture.readLog(id).some(({ log }) => log.includes('console')),
    );
    yield { resize: { rows: 50, columns: 100 } };
    yield { stdin: Buffer.from('hello\r') };
  }
  const { stdout, exitCode } = await fixture.attach({ containerId: id, stdin: true }, inputs());
  assert.equal(exitCode, 0);
  for (const line of ['/dev/pts/0', '7', '30 90', 'three', 'console', 'got hello', '50 100'])
    assert.ok(stdout.split('\r\n').includes(line), `${line} in ${JSON.stringify(stdout)}`);
  assert.equal((await main.exited).signal, 0);
});

test('a client that does not read is cut off and the container never waits for it', options, async () => {
  const { id, main } = await fixture.start(
    specOf(['sh', '-c', 'sleep 0.3; head -c 20000000 /dev/zero; echo done >&2; sleep 60']),
    { log: { path: '' } },
  );
  const slow = await ShimConnection.open(main.directory.path);
  slow.send(encodeAttach(attachFlag.output, 0, 0));
  slow.pause();
  const client = fixture.attach({ containerId: id });
  await eventually(
    'the output is through',
    () => readFileSync(`/proc/${main.start.pid}/comm`, 'utf8') === 'sleep\n',
  );
  slow.resume();
  await slow.closed;
  main.signal(9);
  const { stdout, stderr } = await client;
  assert.equal(stdout.length, 20_000_000, 'a client that reads gets everything');
  assert.equal(stderr, 'done\n');
});

test("an exec's user owns its terminal in the container", options, async () => {
  const { id, main } = await fixture.start(specOf(['sleep', '60']));
  const { execId } = await fixture.exec(
    id,
    processOf(['sh', '-c', 'tty; stat -c %u $(tty)'], { terminal: true, user: { uid: 12, gid: 12 } }),
    { holdOutput: true },
  );
  const { stdout, exitCode } = await fixture.attach({ containerId: id, execId });
  assert.equal(stdout, '/dev/pts/0\r\n12\r\n');
  assert.equal(exitCode, 0);
  assert.equal(statSync(`/proc/${main.start.pid}`).uid, ID_BASE);
  main.signal(9);
  await main.exited;
});

test('clients that leave as soon as they are attached take no place from others', options, async () => {
  const container = await fixture.start(specOf(['sh', '-c', 'read line; echo "got $line"']), {
    openStdin: true,
  });
  async function* opening() {
    yield spawn.AttachInputCodec.decode(
      spawn.AttachInputCodec.encode({ open: { containerId: container.id } }),
    );
  }
  // More than a shim serves at a time.
  for (let client = 0; client < 20; client += 1) {
    const leaving = attachProcess(fixture.spawner, opening(), new AbortController().signal);
    assert.deepEqual((await leaving.next()).value, { attached: true });
    await leaving.return(undefined);
    await assert.rejects(attachProcess(fixture.spawner, opening(), AbortSignal.abort()).next());
  }
  const answer = await fixture.attach({ containerId: container.id, stdin: true }, [
    { stdin: Buffer.from('it\n') },
  ]);
  assert.deepEqual(answer, { stdout: 'got it\n', stderr: '', exitCode: 0 });
});
