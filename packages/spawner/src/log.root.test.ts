import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  createReadStream,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ShimConnection } from './shim-connection.js';
import { attachFlag, encodeAttach, encodeStdin } from './shim-protocol.js';
import { eventually, newId, skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';
import type { Container } from './spawner.js';

const options = { skip: skipUnlessRoot };
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

interface Line {
  readonly log: string;
  readonly attrs?: Readonly<Record<string, string>>;
}

function parseLines(text: string): Line[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

/** Attached for stdin alone, so that a test paces the process. */
async function openStdin({ main }: Container): Promise<ShimConnection> {
  const client = await ShimConnection.open(main.directory.path);
  client.send(encodeAttach(attachFlag.stdin, 0, 0));
  return client;
}

/** Reads a log as log shippers do: to the end of what it has open, then on by name when the name leads to another inode. */
class LogFollower {
  readonly #path: string;
  #descriptor: number;
  text = '';

  constructor(path: string) {
    this.#path = path;
    this.#descriptor = openSync(path, 'r');
  }

  poll(): void {
    const moved = !existsSync(this.#path) || statSync(this.#path).ino !== fstatSync(this.#descriptor).ino;
    const chunk = Buffer.alloc(1 << 16);
    for (let got; (got = readSync(this.#descriptor, chunk)) > 0;)
      this.text += chunk.toString('latin1', 0, got);
    // Between two names there is none for a moment.
    if (!moved || !existsSync(this.#path)) return;
    closeSync(this.#descriptor);
    this.#descriptor = openSync(this.#path, 'r');
    this.poll();
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

test(
  'on a full disk the container goes on, the loss is counted and told, and writing resumes',
  options,
  async () => {
    const directory = fixture.makeDirectory('small');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', directory]);
    try {
      const id = newId();
      const log = { path: join(directory, 'log'), maxSizeBytes: 0, maxFiles: 1 };
      const script = 'seq 1 20000; read line; echo "after $line"';
      const request = fixture.request(id, specOf(['sh', '-c', script]), {
        log,
        openStdin: true,
        holdOutput: true,
      });
      const container = await fixture.spawner.start(request);
      const client = await openStdin(container);
      const losses = (): { records: number; bytes: number } => {
        const told = fixture.logLosses
          .filter(({ containerId }) => containerId === id)
          .map(({ loss }) => loss);
        const sum = (key: 'records' | 'bytes'): number => told.reduce((total, loss) => total + loss[key], 0);
        return { records: sum('records'), bytes: sum('bytes') };
      };
      const kept = (): Line[] =>
        // The last record may be torn as long as the disk is full.
        parseLines(readFileSync(log.path, 'utf8').replace(/[^\n]*$/, ''));
      await eventually('every record is kept or lost', () => losses().records + kept().length >= 19_999);
      assert.equal(fixture.logLosses.find(({ containerId }) => containerId === id)?.errno, 28);
      assert.equal(container.main.exit, undefined, 'it waits for its input: all its output was taken');

      execFileSync('mount', ['-o', 'remount,size=8m', directory]);
      await eventually('the gap is written down', () => kept().some(({ attrs }) => attrs !== undefined));
      client.send(encodeStdin(Buffer.from('it\n')));
      const exit = await container.main.exited;
      client.close();

      const lines = parseLines(readFileSync(log.path, 'utf8'));
      assert.equal(lines.at(-1)?.log, 'after it\n');
      const notices = lines.filter(({ attrs }) => attrs !== undefined);
      const numbers = lines.filter(({ attrs }) => attrs === undefined).map(({ log: text }) => Number(text));
      numbers.pop();
      numbers.forEach((number, index) => assert.equal(number, index + 1));
      assert.equal(numbers.length + exit.logLoss.records, 20_000);
      assert.deepEqual(losses(), exit.logLoss);
      assert.equal(
        notices.reduce((total, { attrs }) => total + Number(attrs?.['gantry.lost-records']), 0),
        exit.logLoss.records,
      );
      const missing = Array.from({ length: exit.logLoss.records }, (_, index) => `${20_000 - index}\n`).join(
        '',
      );
      assert.equal(exit.logLoss.bytes, missing.length);
      await fixture.restart();
      assert.deepEqual(
        fixture.spawner.find(id)?.main.exit?.logLoss,
        exit.logLoss,
        'the record has it as well',
      );
    } finally {
      execFileSync('umount', ['--lazy', directory]);
    }
  },
);

for (const maxFiles of [1, 2, 4])
  test(
    `a reader that follows the log by name and inode misses nothing with ${maxFiles} files`,
    options,
    async () => {
      const id = newId();
      const log = { path: fixture.logPath(id), maxSizeBytes: 3000, maxFiles };
      // A burst is less than one file: a reader that is as slow as one burst meets one rotation at a time.
      const script =
        'n=0; while read count; do i=0; while [ $i -lt $count ]; do i=$((i+1)); n=$((n+1)); echo $n; done; done';
      const container = await fixture.spawner.start(
        fixture.request(id, specOf(['sh', '-c', script]), { log, openStdin: true, stdinOnce: true }),
      );
      const client = await openStdin(container);
      const follower = new LogFollower(log.path);
      let written = 0;
      for (let burst = 0; burst < 60; burst++) {
        const count = 7 + ((burst * 11) % 23);
        written += count;
        client.send(encodeStdin(Buffer.from(`${count}\n`)));
        await eventually(`record ${written} is read`, () => {
          follower.poll();
          return follower.text.includes(`"log":"${written}\\n"`);
        });
      }
      client.close();
      await container.main.exited;
      follower.poll();
      follower.close();
      assert.deepEqual(
        parseLines(follower.text).map(({ log: text }) => Number(text)),
        Array.from({ length: written }, (_, index) => index + 1),
      );
    },
  );

test(
  'a line longer than a file and than 16 KiB is cut into whole records, one file each',
  options,
  async () => {
    const id = newId();
    const log = { path: fixture.logPath(id), maxSizeBytes: 10_000, maxFiles: 5 };
    const line = 'ä'.repeat(20_000);
    const script = 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); printf ääääääääää; done; echo';
    const container = await fixture.spawner.start(fixture.request(id, specOf(['sh', '-c', script]), { log }));
    await container.main.exited;
    const files = ['.4', '.3', '.2', '.1', '']
      .map((suffix) => log.path + suffix)
      .filter((path) => existsSync(path));
    const records = files.map((path) => parseLines(readFileSync(path, 'utf8')));
    assert.equal(records.flatMap((lines) => lines.map(({ log: text }) => text)).join(''), `${line}\n`);
    for (const lines of records) assert.equal(lines.length, 1);
    assert.equal(files.length, 3);
  },
);

test(
  'a writer in great bursts does not pass the limit, whatever is gathered before it is written',
  options,
  async () => {
    const id = newId();
    const log = { path: fixture.logPath(id), maxSizeBytes: 65_536, maxFiles: 3 };
    const container = await fixture.spawner.start(
      fixture.request(id, specOf(['seq', '1', '60000']), { log }),
    );
    await container.main.exited;
    const files = ['.2', '.1', ''].map((suffix) => log.path + suffix);
    for (const file of files) assert.ok(statSync(file).size <= 65_536, file);
    const lines = files
      .flatMap((file) => parseLines(readFileSync(file, 'utf8')))
      .map(({ log: text }) => Number(text));
    assert.equal(lines.at(-1), 60_000);
    assert.ok(lines.every((line, index) => index === 0 || line === (lines[index - 1] ?? 0) + 1));
  },
);

test('what a fast writer writes arrives whole in the log and at a client', options, async () => {
  const id = newId();
  const total = 100_000_000;
  const text = `${'0123456789'.repeat(12)}\n`;
  const script = `yes ${text.trim()} | head -c ${total}`;
  const request = fixture.request(id, specOf(['sh', '-c', script]), { openStdin: true, holdOutput: true });
  const container = await fixture.spawner.start(request);
  const client = await ShimConnection.open(container.main.directory.path);
  let received = 0;
  let damaged = 0;
  client.listen((message) => {
    if (message.kind !== 'stdout') return;
    const at = received % text.length;
    if (message.data.toString('latin1', 0, 1) !== text[at]) damaged++;
    received += message.data.length;
  });
  const started = performance.now();
  client.send(encodeAttach(attachFlag.output | attachFlag.lossless, 0, 0));
  const exit = await container.main.exited;
  await client.closed;
  const seconds = (performance.now() - started) / 1000;
  assert.deepEqual([exit.exitCode, exit.logLoss.records, received, damaged], [0, 0, total, 0]);

  const whole = `{"log":"${text.trim()}\\n","stream":"stdout","time":"`;
  let logged = 0;
  let rest = '';
  for await (const chunk of createReadStream(fixture.logPath(id), {
    encoding: 'latin1',
    highWaterMark: 1 << 20,
  })) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith(whole)) logged += text.length;
      else logged += (JSON.parse(line) as Line).log.length;
    }
  }
  assert.deepEqual([logged, rest], [total, '']);
  assert.ok(seconds < 30, `${seconds} s`);
});

/** Lines of all lengths with every kind of character that JSON writes in another way; another text for each seed. */
function makeText(seed: number, length: number): string {
  const parts = [
    'plain',
    ' ',
    '"',
    '\\',
    '\t',
    '\r',
    '\u0000',
    '\u001b[1m',
    '\u007f',
    'ä',
    '漢字',
    '😀',
    '\n',
  ];
  let state = seed;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    text += parts[(state >>> 16) % parts.length];
    if (state % 5000 === 0) text += 'long'.repeat(state % 9000);
  }
  return text;
}

test(
  'a writer faster than the disk waits for it: every byte is in the log, in its order, over many rotations',
  { ...options, timeout: 60_000 },
  async () => {
    const blocks = Array.from({ length: 16 }, (_, index) => Buffer.from(makeText(index + 1, 100_000)));
    const whole = Buffer.concat(Array.from({ length: 32 }, () => blocks).flat());
    writeFileSync(join(fixture.layer, 'text'), whole);
    const id = newId();
    const log = { path: fixture.logPath(id), maxSizeBytes: 10_000_000, maxFiles: 100 };
    const { main } = await fixture.spawner.start(fixture.request(id, specOf(['cat', '/text']), { log }));
    const { exitCode, logLoss } = await main.exited;
    assert.deepEqual([exitCode, logLoss.records], [0, 0]);
    let at = 0;
    for (let file = 99; file >= 0; file--) {
      const path = file === 0 ? log.path : `${log.path}.${file}`;
      if (!existsSync(path)) continue;
      assert.ok(statSync(path).size <= log.maxSizeBytes, path);
      const text = parseLines(readFileSync(path, 'utf8')).map((line) => line.log);
      const bytes = Buffer.from(text.join(''));
      assert.ok(bytes.equals(whole.subarray(at, at + bytes.length)), `${path} differs`);
      at += bytes.length;
    }
    assert.equal(at, whole.length);
  },
);
