import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAddress,
  formatSubnet,
  hardwareAddressOf,
  isInSubnet,
  parseAddress,
  parseSubnet,
} from './ipv4.js';

test('every address survives being written and read', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffffffff }),
      (address) => parseAddress(formatAddress(address)) === address,
    ),
  );
});

test('text that is no address is none, whatever it is', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    '1.2.3.4 ',
    '-1.2.3.4',
    '1.2.3.x',
    '0x1.2.3.4',
  ])
    assert.equal(parseAddress(text), undefined, text);
  fc.assert(
    fc.property(
      fc.string(),
      (text) => parseAddress(text) === undefined || /^[0-9]+(\.[0-9]+){3}$/.test(text),
    ),
  );
});

test('a subnet holds exactly its own addresses and its gateway is the first', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.integer({ min: 8, max: 30 }),
      fc.integer({ min: 0, max: 0xffffffff }),
      (base, length, other) => {
        const subnet = parseSubnet(`${formatAddress(base)}/${length}`);
        assert.ok(subnet);
        assert.ok(isInSubnet(subnet, base) && isInSubnet(subnet, subnet.gateway));
        const sameHead = Math.floor(base / subnet.size) === Math.floor(other / subnet.size);
        assert.equal(isInSubnet(subnet, other), sameHead);
        assert.equal(formatSubnet(subnet), `${formatAddress(subnet.network)}/${length}`);
      },
    ),
  );
});

test('hardware addresses are locally administered, no group addresses, and follow from the address', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (address) => {
      const bytes = hardwareAddressOf(address);
      assert.equal((bytes[0] ?? 0) & 3, 2);
      assert.deepEqual(bytes, hardwareAddressOf(address));
    }),
  );
});
