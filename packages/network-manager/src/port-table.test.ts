import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import fc from 'fast-check';
import { noHostPorts } from './host-ports.js';
import { PortTable, formatPort, parsePorts, type PublishedPort } from './port-table.js';

const range = { first: 40_000, last: 40_009 };
const name = (holder: string): string => `container ${holder}`;
const port = (hostPort: number, hostAddress = 0, protocol: 'tcp' | 'udp' = 'tcp'): PublishedPort => ({
  protocol,
  hostAddress,
  hostPort,
  containerPort: 80,
});

test('two published ports never mean the same packet', () => {
  const wanted = fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    hostAddress: fc.constantFrom(0, 1, 2),
    hostPort: fc.constantFrom(0, 1, 2, 3),
    containerPort: fc.constant(80),
  });
  fc.assert(
    fc.property(fc.array(wanted, { maxLength: 40 }), (wishes) => {
      const table = new PortTable(range, noHostPorts);
      for (const wish of wishes) {
        try {
          table.reserve([wish], 'x', name);
        } catch (error) {
          assert.ok(isGantryError(error));
        }
      }
      const given = [...table.all()].map((holding) => holding.port);
      for (const one of given)
        for (const other of given)
          assert.ok(
            one === other ||
              one.protocol !== other.protocol ||
              one.hostPort !== other.hostPort ||
              (one.hostAddress !== 0 && other.hostAddress !== 0 && one.hostAddress !== other.hostAddress),
          );
    }),
  );
});

test('all ports of a request are taken, or none', () => {
  const table = new PortTable(range, noHostPorts);
  table.reserve([port(80)], 'one', name);
  assert.throws(
    () => table.reserve([port(81), port(80, 5), port(82)], 'two', name),
    (error) =>
      isGantryError(error, 'already_exists') &&
      error.message === 'port 0.0.0.5:80/tcp is already published by container one',
  );
  assert.equal(table.size, 1);
  assert.equal(table.reserve([port(80, 0, 'udp'), port(81)], 'two', name).length, 2);
});

test('ephemeral ports come from the range, pass over taken ones, and run out with a sentence', () => {
  const table = new PortTable(range, (_protocol, _address, number) =>
    number === 40_003 ? 'a program listens on it' : undefined,
  );
  table.reserve([port(40_001)], 'one', name);
  const given = table.reserve(
    Array.from({ length: 8 }, () => port(0)),
    'two',
    name,
  );
  assert.deepEqual(
    given.map((one) => one.hostPort),
    [40_000, 40_002, 40_004, 40_005, 40_006, 40_007, 40_008, 40_009],
  );
  assert.throws(
    () => table.reserve([port(0)], 'three', name),
    (error) => isGantryError(error, 'resource_exhausted') && error.message.includes('40000-40009'),
  );
  table.release(given.slice(0, 1));
  assert.equal(table.reserve([port(0)], 'three', name)[0]?.hostPort, 40_000);
});

test('what is not a port is refused with its name', () => {
  const binding = { hostIp: '', hostPort: 80, containerPort: 80, protocol: 'tcp' };
  for (const [change, text] of [
    [{ containerPort: 0 }, /container port 0/],
    [{ containerPort: 70_000 }, /container port 70000/],
    [{ hostPort: 65_536 }, /host port 65536/],
    [{ protocol: 'sctp' }, /"sctp"/],
    [{ hostIp: 'localhost' }, /"localhost"/],
    [{ hostIp: '::1' }, /"::1"/],
  ] as const)
    assert.throws(
      () => parsePorts([{ ...binding, ...change }]),
      (error) => isGantryError(error, 'invalid_argument') && text.test(error.message),
    );
  assert.equal(formatPort(parsePorts([{ ...binding, protocol: '' }])[0] ?? port(1)), '0.0.0.0:80/tcp');
});
