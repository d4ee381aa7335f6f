import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSubnet, type Subnet } from './ipv4.js';
import {
  readListing,
  renderElement,
  renderPublish,
  renderRuleset,
  renderUnpublish,
  type Forward,
} from './ruleset.js';

const subnet = parseSubnet('10.88.0.0/16') as Subnet;
const address = fc.integer({ min: 1, max: 0xffffffff });
const portNumber = fc.integer({ min: 1, max: 65535 });
const forwards: fc.Arbitrary<Forward[]> = fc.array(
  fc.record({
    port: fc.record({
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      hostAddress: fc.oneof(fc.constant(0), address),
      hostPort: portNumber,
      containerPort: portNumber,
    }),
    target: address,
  }),
  { maxLength: 20 },
);

test('what is written into the maps is what a listing of them is read as', () => {
  fc.assert(
    fc.property(forwards, (list) => {
      const written = renderRuleset({
        bridge: 'b0',
        subnet,
        guardedPorts: [1, 2],
        openedInterfaces: ['eth0'],
        forwards: list,
      });
      const { elements, skeleton } = readListing(written);
      assert.deepEqual(elements, list.map(renderElement).sort());
      assert.equal(
        skeleton,
        readListing(
          renderRuleset({
            bridge: 'b0',
            subnet,
            guardedPorts: [2, 1],
            openedInterfaces: ['eth0'],
            forwards: [],
          }),
        ).skeleton,
      );
    }),
  );
});

test('a port of every address and one of a certain address go to their own maps', () => {
  const any: Forward = {
    port: { protocol: 'tcp', hostAddress: 0, hostPort: 80, containerPort: 8080 },
    target: subnet.gateway + 4,
  };
  const at: Forward = {
    port: { protocol: 'udp', hostAddress: 0x7f000001, hostPort: 53, containerPort: 53 },
    target: subnet.gateway + 4,
  };
  assert.equal(
    renderPublish('b0', [any, at]),
    'add element inet gantry_b0 published_any { tcp . 80 : 10.88.0.5 . 8080 }\nadd element inet gantry_b0 published_at { udp . 127.0.0.1 . 53 : 10.88.0.5 . 53 }\n',
  );
  assert.equal(
    renderUnpublish('b0', [at]),
    'delete element inet gantry_b0 published_at { udp . 127.0.0.1 . 53 }\n',
  );
});

test('the rules name the guarded ports and hold only interfaces that were opened', () => {
  const plain = renderRuleset({ bridge: 'b0', subnet, guardedPorts: [], openedInterfaces: [], forwards: [] });
  assert.doesNotMatch(plain, /jump not_ours/);
  assert.doesNotMatch(plain, /th dport \{/);
  const full = renderRuleset({
    bridge: 'b0',
    subnet,
    guardedPorts: [4222, 80],
    openedInterfaces: ['eth0', 'eth1'],
    forwards: [],
  });
  assert.match(full, /th dport \{ 80, 4222 \} drop/);
  assert.match(full, /iifname \{ "eth0", "eth1" \} oifname != "b0" jump not_ours/);
});
