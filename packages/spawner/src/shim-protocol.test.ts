import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, encodeStdin, frameKind, FrameReader, LARGEST_INPUT_BYTES } from './shim-protocol.js';

test('messages come out whole however the bytes were cut', () => {
  const exit = Buffer.alloc(24);
  exit.writeInt32LE(137, 0);
  exit.writeUInt32LE(9, 4);
  exit.writeBigInt64LE(1_700_000_000_123_456_789n, 8);
  const bytes = Buffer.concat([
    encodeFrame(frameKind.stdout, Buffer.from('hello')),
    encodeFrame(99),
    encodeFrame(frameKind.exit, exit),
  ]);
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new FrameReader();
    const messages = [];
    for (let at = 0; at < bytes.length; at += size)
      messages.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(messages, [
      { kind: 'stdout', data: Buffer.from('hello') },
      { kind: 'unknown' },
      {
        kind: 'exit',
        exit: {
          exitCode: 137,
          signal: 9,
          exitedUnixNanos: 1_700_000_000_123_456_789n,
          oomKillCount: 0,
          logLoss: { records: 0, bytes: 0 },
        },
      },
    ]);
  }
});

test('what could not be logged is told on the way and with the exit', () => {
  const lost = Buffer.alloc(20);
  lost.writeBigUInt64LE(3n, 0);
  lost.writeBigUInt64LE(99n, 8);
  lost.writeInt32LE(28, 16);
  const exit = Buffer.alloc(40);
  exit.writeBigUInt64LE(4n, 24);
  exit.writeBigUInt64LE(120n, 32);
  const [told, end] = new FrameReader().push(
    Buffer.concat([encodeFrame(frameKind.logLost, lost), encodeFrame(frameKind.exit, exit)]),
  );
  assert.deepEqual(told, { kind: 'logLost', loss: { records: 3, bytes: 99 }, errno: 28 });
  assert.deepEqual(end?.kind === 'exit' && end.exit.logLoss, { records: 4, bytes: 120 });
});

test('stdin is cut into frames that the shim takes', () => {
  const bytes = encodeStdin(Buffer.alloc(LARGEST_INPUT_BYTES * 2 + 1));
  assert.deepEqual(
    [0, 1, 2].map((index) => bytes.readUInt32LE(index * (8 + LARGEST_INPUT_BYTES))),
    [LARGEST_INPUT_BYTES, LARGEST_INPUT_BYTES, 1],
  );
});
