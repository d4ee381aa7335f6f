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
        exit: { exitCode: 137, signal: 9, exitedUnixNanos: 1_700_000_000_123_456_789n, oomKillCount: 0 },
      },
    ]);
  }
});

test('stdin is cut into frames that the shim takes', () => {
  const bytes = encodeStdin(Buffer.alloc(LARGEST_INPUT_BYTES * 2 + 1));
  assert.deepEqual(
    [0, 1, 2].map((index) => bytes.readUInt32LE(index * (8 + LARGEST_INPUT_BYTES))),
    [LARGEST_INPUT_BYTES, LARGEST_INPUT_BYTES, 1],
  );
});
