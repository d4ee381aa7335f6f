import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { frameKinds } from '@gantry/protocol/stream-frames';
import { ClientFrameReader, exitFrame, frame, type ClientInput } from './frames.js';
import { createLogEncoder, formatNanos } from './log-frames.js';

/** What a reader makes of bytes that come in pieces of these sizes. */
function readInPieces(bytes: Buffer, sizes: readonly number[]): ClientInput[] {
  const reader = new ClientFrameReader();
  const seen: ClientInput[] = [];
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    seen.push(...reader.read(bytes.subarray(at, at + size)));
    at += size;
  }
  return seen;
}

test('frames mean the same however the connection cuts them', () => {
  const resize = Buffer.from([0, 24, 0, 80]);
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 30 })),
      fc.array(fc.integer({ min: 1, max: 20 })),
      (inputs, sizes) => {
        const bytes = Buffer.concat([
          ...inputs.flatMap((input) => [frame(frameKinds.stdin, input), frame(frameKinds.resize, resize)]),
          frame(frameKinds.stdinEnd, Buffer.alloc(0)),
        ]);
        const seen = readInPieces(bytes, sizes);
        const typed = Buffer.concat(seen.map((one) => ('stdin' in one ? one.stdin : Buffer.alloc(0))));
        assert.deepEqual(typed, Buffer.concat(inputs));
        assert.equal(
          seen.filter((one) => 'resize' in one && one.resize.rows === 24 && one.resize.columns === 80).length,
          inputs.length,
        );
        assert.deepEqual(seen.at(-1), { stdinEnd: true });
      },
    ),
  );
});

test('nonsense from a client is refused, never gathered', () => {
  const reader = new ClientFrameReader();
  assert.throws(() => [...reader.read(Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]))], RangeError);
  assert.throws(
    () => [...new ClientFrameReader().read(Buffer.from([3, 0, 0, 0, 255, 255, 255, 255]))],
    RangeError,
  );
});

test('headers are those of docker streams', () => {
  assert.deepEqual([...frame(frameKinds.stderr, Buffer.from('ab'))], [2, 0, 0, 0, 0, 0, 0, 2, 97, 98]);
  assert.deepEqual([...exitFrame(-1)], [4, 0, 0, 0, 0, 0, 0, 4, 255, 255, 255, 255]);
});

test('a line that the log has split gets one time', () => {
  const encode = createLogEncoder(true);
  const at = 1_700_000_000_000_000_000;
  const entry = (text: string): { stream: string; timeUnixNanos: number; data: Buffer } => ({
    stream: 'stdout',
    timeUnixNanos: at,
    data: Buffer.from(text),
  });
  const shown =
    encode({ entries: [entry('half '), entry('line\n'), entry('next\n')] })?.toString('latin1') ?? '';
  assert.equal(shown.split(formatNanos(at)).length - 1, 2);
  assert.equal(encode({ entries: [] }), undefined);
});
