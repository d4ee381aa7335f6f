import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseLogLine, parseTime } from './log-lines.js';
import { readLogs, type LogRequest } from './read-logs.js';

/** A log directory with lines numbered from 1, in docker's format. */
class Log implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'gantry-test-logs-'));
  readonly path = join(this.directory, 'x-json.log');
  #number = 0;

  constructor() {
    writeFileSync(this.path, '');
  }

  write(count: number, stream = 'stdout'): void {
    for (let index = 0; index < count; index += 1) {
      this.#number += 1;
      const time = new Date(Date.UTC(2026, 0, 1) + this.#number * 1000).toISOString();
      appendFileSync(this.path, `${JSON.stringify({ log: `${this.#number}\n`, stream, time })}\n`);
    }
  }

  rotate(): void {
    for (const [from, to] of [
      ['.1', '.2'],
      ['', '.1'],
    ]) {
      try {
        renameSync(`${this.path}${from}`, `${this.path}${to}`);
      } catch {
        // not there yet
      }
    }
    writeFileSync(this.path, '');
  }

  async read(change: Partial<LogRequest> = {}): Promise<number[]> {
    const numbers: number[] = [];
    for await (const batch of readLogs({ ...this.request, ...change }))
      for (const { data } of batch) numbers.push(Number(Buffer.from(data).toString()));
    return numbers;
  }

  get request(): LogRequest {
    return {
      path: this.path,
      follow: false,
      tail: undefined,
      stdout: true,
      stderr: true,
      sinceUnixNanos: 0,
      untilUnixNanos: 0,
      writing: () => false,
      signal: new AbortController().signal,
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test('all lines come in order across rotated files', async () => {
  using log = new Log();
  log.write(50);
  log.rotate();
  log.write(50);
  log.rotate();
  log.write(3000);
  assert.deepEqual(await log.read(), numbers(1, 3100));
});

test('the tail counts lines across files, from none to more than there are', async () => {
  using log = new Log();
  log.write(10);
  log.rotate();
  log.write(5);
  for (const [tail, first] of [
    [1, 15],
    [5, 11],
    [6, 10],
    [15, 1],
    [99, 1],
  ] as const)
    assert.deepEqual(await log.read({ tail }), numbers(first, 15), `tail ${tail}`);
  assert.deepEqual(await log.read({ tail: 0 }), []);
});

test('since, until and the stream narrow what comes', async () => {
  using log = new Log();
  log.write(5);
  log.write(5, 'stderr');
  const at = (number: number): number => (Date.UTC(2026, 0, 1) + number * 1000) * 1e6;
  assert.deepEqual(await log.read({ sinceUnixNanos: at(3), untilUnixNanos: at(7) }), numbers(3, 7));
  assert.deepEqual(await log.read({ stdout: false }), numbers(6, 10));
});

test('following loses nothing across rotations and ends with the container', async () => {
  using log = new Log();
  log.write(10);
  let writing = true;
  const read = log.read({ follow: true, writing: () => writing });
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 30));
    log.write(20);
    log.rotate();
    log.write(7);
  }
  writing = false;
  assert.deepEqual(await read, numbers(1, 10 + 5 * 27));
});

test('following from the end shows only what comes', async () => {
  using log = new Log();
  log.write(10);
  let writing = true;
  const read = log.read({ follow: true, tail: 0, writing: () => writing });
  await new Promise((resolve) => setTimeout(resolve, 50));
  log.write(2);
  writing = false;
  assert.deepEqual(await read, [11, 12]);
});

test('torn and foreign lines are passed over, nanoseconds are kept as far as a double can', () => {
  for (const line of ['', '{', 'null', '{"log":1}', '{"log":"x","stream":"stdout","time":"never"}'])
    assert.equal(parseLogLine(line), undefined, line);
  assert.equal(parseTime('2026-01-01T00:00:00.000001Z'), Date.UTC(2026, 0, 1) * 1e6 + 1000);
});
