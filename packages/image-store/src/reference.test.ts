import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatReference, readReference } from './reference.js';

const digest = `sha256:${'a'.repeat(64)}`;

describe('references', () => {
  const same: Record<string, string> = {
    busybox: 'docker.io/library/busybox:latest',
    'busybox:1.36': 'docker.io/library/busybox:1.36',
    'someone/tool': 'docker.io/someone/tool:latest',
    'docker.io/busybox': 'docker.io/library/busybox:latest',
    'index.docker.io/library/busybox': 'docker.io/library/busybox:latest',
    'localhost/x': 'localhost/x:latest',
    'localhost:5000/x:y': 'localhost:5000/x:y',
    'quay.io/a/b/c:t': 'quay.io/a/b/c:t',
    'UPPER/x': 'UPPER/x:latest',
    '[::1]:5000/x': '[::1]:5000/x:latest',
    [`busybox@${digest}`]: `docker.io/library/busybox@${digest}`,
    [`busybox:1@${digest}`]: `docker.io/library/busybox@${digest}`,
    'a__b/c--d.e': 'docker.io/a__b/c--d.e:latest',
  };
  for (const [given, meant] of Object.entries(same))
    test(`${given} means ${meant}, as with docker`, () => {
      const read = readReference(given);
      assert.ok(!('reason' in read), 'reason' in read ? read.reason : '');
      assert.equal(formatReference(read), meant);
    });

  const refused = [
    '',
    ':',
    '/',
    'a//b',
    'a b',
    '-a',
    'a:',
    'a:-x',
    'library/Upper',
    'a@sha256:1',
    `a@sha512:${'a'.repeat(128)}`,
    'a'.repeat(64),
    'x/../y',
    'a:b:c',
    `${'a/'.repeat(130)}b`,
    'host:port/x',
    'a\n',
    'a:\u00e9',
  ];
  for (const given of refused)
    test(`${JSON.stringify(given.slice(0, 40))} is refused with a reason`, () => {
      const read = readReference(given);
      assert.ok('reason' in read && read.reason.length > 10);
    });

  test('whatever is written, a reference that is accepted is its own normal form', () => {
    const part = fc.stringMatching(/^[a-z0-9._-]{1,8}$/);
    const written = fc.oneof(
      fc.string(),
      fc
        .tuple(fc.array(part, { minLength: 1, maxLength: 4 }), fc.option(part))
        .map(([path, tag]) => path.join('/') + (tag === null ? '' : `:${tag}`)),
    );
    fc.assert(
      fc.property(written, (text) => {
        const read = readReference(text);
        if ('reason' in read) return;
        const normal = formatReference(read);
        const again = readReference(normal);
        assert.ok(!('reason' in again), normal);
        assert.deepEqual(again, read);
        // Parts of it become parts of URLs.
        assert.match(normal, /^[A-Za-z0-9.:[\]_/@-]+$/);
        assert.ok(!normal.split(/[/:]/).includes('..'));
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });
});
