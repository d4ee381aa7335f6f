import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceListOf, deviceWrites, type DeviceList } from './device-list.js';
import { checkDeviceRules, readDeviceRules, type DeviceRule } from './device-rules.js';

function rulesOf(values: readonly unknown[]): readonly DeviceRule[] {
  const read = checkDeviceRules(values, 'devices');
  assert.ok('rules' in read, JSON.stringify(read));
  return read.rules;
}

function listOf(values: readonly unknown[]): DeviceList {
  const list = deviceListOf(rulesOf(values));
  assert.ok('exceptions' in list, JSON.stringify(list));
  return list;
}

function texts(list: DeviceList, current: string): readonly string[] {
  return deviceWrites(list, current).map(({ file, value }) => `${file.slice('devices.'.length)} ${value}`);
}

const everything = 'a *:* rwm\n';
const nullAndAll = { allow: true, type: 'c', major: 1, minor: 3 };

test('device rules out of the ordinary are refused by their place and what is wrong', () => {
  const read = (rules: unknown): unknown => readDeviceRules(Buffer.from(JSON.stringify(rules)));
  assert.deepEqual(read([{ allow: true, type: 'x' }]), {
    problem: 'devices_json[0] has the type "x": it is "a", "b" or "c"',
  });
  assert.match(JSON.stringify(read([{}])), /lacks the boolean/);
  assert.match(JSON.stringify(read([{ allow: true, access: 'rx' }])), /made of r, w and m/);
  assert.match(JSON.stringify(read([{ allow: true, major: 1.5 }])), /not a whole number/);
  assert.match(JSON.stringify(read({})), /not a JSON array/);
  assert.match(JSON.stringify(readDeviceRules(Buffer.from('{'))), /not JSON/);
});

test('a rule for all types that is narrower than everything stands for both types and widens nothing', () => {
  const twice = rulesOf([{ allow: true, major: 5, access: 'mr' }]);
  assert.deepEqual(
    twice.map(({ type, major, minor, access }) => [type, major, minor, access]),
    [
      ['b', 5, undefined, 'rm'],
      ['c', 5, undefined, 'rm'],
    ],
  );
});

test('a fresh v1 list is closed first and then opened', () => {
  const list = listOf([
    { allow: false },
    nullAndAll,
    { allow: true, type: 'b', major: 8, minor: -1, access: 'r' },
  ]);
  assert.deepEqual(texts(list, everything), ['deny a', 'allow c 1:3 rwm', 'allow b 8:* r']);
});

test('a change from list to list writes the differences alone, so that no device in use is closed', () => {
  const list = listOf([nullAndAll, { allow: true, type: 'c', major: 1, minor: 5, access: 'r' }]);
  assert.deepEqual(texts(list, 'c 1:3 rwm\nc 1:5 rw\nc 1:9 rwm\n'), ['deny c 1:5 w', 'deny c 1:9 rwm']);
  assert.deepEqual(texts(list, 'c 1:3 r\n'), ['allow c 1:3 wm', 'allow c 1:5 r']);
});

test('everything allowed but some devices keeps their denials', () => {
  const list = listOf([{ allow: true }, { allow: false, type: 'b', major: 8, minor: 0, access: 'w' }]);
  assert.deepEqual(texts(list, 'c 1:3 rwm\n'), ['allow a', 'deny b 8:0 w']);
});

test('a later wide rule takes earlier narrow ones with it, and a hole that v1 cannot make is refused', () => {
  assert.deepEqual(
    texts(listOf([nullAndAll, { allow: false, type: 'c', major: 1, access: 'wm' }]), everything),
    ['deny a', 'allow c 1:3 r'],
  );
  const hole = deviceListOf(
    rulesOf([
      { allow: true, type: 'c', major: 1 },
      { allow: false, type: 'c', major: 1, minor: 1 },
    ]),
  );
  assert.match(JSON.stringify(hole), /makes a hole in \\"c 1:\*\\"/);
});
