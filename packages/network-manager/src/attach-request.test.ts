import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isGantryError, network, type Init } from '@gantry/protocol';
import fc from 'fast-check';
import { parseAttachRequest } from './attach-request.js';
import type { AttachRequest } from './sandbox-manager.js';

const id = 'a'.repeat(64);
const other = 'b'.repeat(64);

function parse(change: Init<network.AttachSandboxRequest>): AttachRequest {
  const codec = network.AttachSandboxRequestCodec;
  return parseAttachRequest(
    codec.decode(
      codec.encode({
        containerId: id,
        networkMode: 'NETWORK_MODE_BRIDGE',
        userMode: 'USER_NAMESPACE_MODE_PRIVATE',
        ...change,
      }),
    ),
  );
}

test('a plain request asks for a sandbox on the bridge with a user namespace of its own', () => {
  const request = parse({ names: ['web'], sysctls: { 'net.ipv4.tcp_syncookies': '0' } });
  assert.equal(request.network, 'bridge');
  assert.equal(request.ownUserNamespace, true);
  assert.deepEqual(request.sysctls, [{ path: 'net/ipv4/tcp_syncookies', value: '0' }]);
});

test('what cannot be is refused in one sentence that names it', () => {
  const ports = [{ hostPort: 80, containerPort: 80, protocol: 'tcp' }];
  const cases: [Init<network.AttachSandboxRequest>, RegExp][] = [
    [{ containerId: '../../etc' }, /"\.\.\/\.\.\/etc" is not a container id/],
    [{ containerId: '' }, /not a container id/],
    [{ aliases: ['web'] }, /aliases are given without a scope/],
    [{ scope: 'shop', aliases: ['a b'] }, /"a b" cannot be a name in DNS/],
    [{ scope: 'x'.repeat(300) }, /scope of names is longer/],
    [{ networkMode: 'NETWORK_MODE_UNSPECIFIED' }, /no network mode/],
    [{ userMode: 'USER_NAMESPACE_MODE_UNSPECIFIED' }, /no user namespace mode/],
    [{ networkMode: 'NETWORK_MODE_CONTAINER', joinContainerId: 'x' }, /"x" is not a container id/],
    [{ networkMode: 'NETWORK_MODE_CONTAINER', joinContainerId: id }, /cannot join its own/],
    [{ networkMode: 'NETWORK_MODE_HOST', ports }, /ports cannot be published with network mode host/],
    [{ networkMode: 'NETWORK_MODE_NONE', ports }, /ports cannot be published with network mode none/],
    [{ networkMode: 'NETWORK_MODE_CONTAINER', joinContainerId: other, ports }, /network mode container/],
    [{ networkMode: 'NETWORK_MODE_HOST', sysctls: { 'net.a': '1' } }, /not the container's own/],
    [{ sysctls: { 'kernel.panic': '1' } }, /"kernel\.panic" is not a net/],
    [{ sysctls: { 'net.ipv4/../../kernel': '1' } }, /is not a net/],
    [{ sysctls: { 'net...': '1' } }, /is not a net/],
    [{ names: ['two words'] }, /"two words" cannot be a name/],
    [{ names: Array.from({ length: 65 }, (_, index) => `n${index}`) }, /65 names/],
    [{ dnsServers: ['resolver'] }, /"resolver" is not an address/],
    [{ ports: Array.from({ length: 5_000 }, () => ports[0] ?? {}) }, /5000 ports/],
  ];
  for (const [change, text] of cases)
    assert.throws(
      () => parse(change),
      (error) => isGantryError(error, 'invalid_argument') && text.test(error.message),
      String(text),
    );
});

test('no setting outside net can be named, whatever the text', () => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      try {
        for (const { path } of parse({ sysctls: { [`net.${name}`]: '1' } }).sysctls)
          assert.ok(path.startsWith('net/') && !path.split('/').includes('..') && !path.includes('//'));
      } catch (error) {
        assert.ok(isGantryError(error, 'invalid_argument'));
      }
    }),
  );
});
