import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseLossless, stringifyLossless } from './index.js';

test('integers of 64 bits come through to the last bit, smaller ones stay numbers', () => {
  const text =
    '{"a":18446744073709551615,"b":-9223372036854775808,"c":9007199254740991,"d":[9007199254740993],"e":1.5}';
  const value = parseLossless(text);
  assert.deepEqual(value, {
    a: 18446744073709551615n,
    b: -9223372036854775808n,
    c: 9007199254740991,
    d: [9007199254740993n],
    e: 1.5,
  });
  assert.equal(stringifyLossless(value), text);
});

test('whatever is written comes back the same', () => {
  fc.assert(
    fc.property(
      fc.record({ wide: fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), rest: fc.json() }),
      ({ wide, rest }) => {
        const value = { wide, rest: JSON.parse(rest) as unknown };
        const again = parseLossless(stringifyLossless(value)) as { wide: bigint; rest: unknown };
        assert.equal(again.wide, wide);
        assert.equal(stringifyLossless(again), stringifyLossless(value));
      },
    ),
  );
});

test('fractions, exponents and absurd lengths stay numbers, and a key __proto__ is a key', () => {
  assert.deepEqual(parseLossless(`[1e400,1e16,1.0000000000000001,${'9'.repeat(50)}]`), [
    Infinity,
    1e16,
    1,
    Number('9'.repeat(50)),
  ]);
  const value = parseLossless('{"__proto__":{"x":1234567890123456789}}') as object;
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.ok(Object.hasOwn(value, '__proto__'));
});
