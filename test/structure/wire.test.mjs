import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { describeCurrent, describeProtos, findBreaks, readSnapshot } from '../../tools/check-wire.mjs';

const proto = (body) => describeProtos({ 'a.proto': `syntax = "proto3"; package a;\n${body}` });
const breaks = (before, now) => findBreaks(proto(before), proto(now));

test('proto/ is compatible with the snapshot', () => {
  assert.equal(findBreaks(readSnapshot(), describeCurrent()).join('\n'), '');
});

test('the snapshot knows every field, so that each is protected', () => {
  assert.ok(
    isDeepStrictEqual(readSnapshot(), describeCurrent()),
    'it is behind: run node tools/check-wire.mjs --update',
  );
});

test('what is added breaks nothing', () => {
  const before = 'message M { string a = 1; } enum E { E_UNSPECIFIED = 0; }';
  const now =
    'message M { string a = 1; optional int64 b = 2; } enum E { E_UNSPECIFIED = 0; E_X = 1; } message N {}';
  assert.deepEqual(breaks(before, now), []);
});

test('a number that changes its type, its name or its repetition breaks', () => {
  for (const now of ['int64 a = 1;', 'string b = 1;', 'repeated string a = 1;', 'optional string a = 1;'])
    assert.match(
      breaks('message M { string a = 1; }', `message M { ${now} }`).join(),
      /number 1 was "string a" and is now/,
    );
});

test('a field may go when its number is reserved, and never comes back', () => {
  assert.match(
    breaks('message M { string a = 1; }', 'message M {}').join(),
    /number 1 .* gone without being reserved/,
  );
  assert.deepEqual(breaks('message M { string a = 1; }', 'message M { reserved 1; }'), []);
  assert.match(
    breaks('message M { reserved 1 to 3; }', 'message M { string b = 2; }').join(),
    /number 2 was reserved/,
  );
});

test('enum values and methods keep their meaning', () => {
  assert.match(
    breaks('enum E { E_A = 0; E_B = 1; }', 'enum E { E_A = 0; E_C = 1; }').join(),
    /number 1 was "E_B" and is now "E_C"/,
  );
  const service = (rpc) => `message Q {} message R {} service S { ${rpc} }`;
  assert.match(breaks(service('rpc Get(Q) returns (R);'), service('')).join(), /method a.S.Get is gone/);
  assert.match(
    breaks(service('rpc Get(Q) returns (R);'), service('rpc Get(Q) returns (stream R);')).join(),
    /is now "a.Q -> stream a.R"/,
  );
});
