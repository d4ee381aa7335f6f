import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mount } from './spec.js';
import type { Subject } from './subject.js';

/** Per-mount options, super options and propagation of what is mounted at the place, as mountinfo has them. */
export async function look(
  t: Subject,
  place: string,
): Promise<{ options: string[]; superOptions: string[]; tags: string }> {
  const line = (await t.inside('cat', '/proc/self/mountinfo'))
    .split('\n')
    .findLast((text) => text.split(' ')[4] === place);
  assert.ok(line !== undefined, `nothing is mounted at ${place}`);
  const [before = '', after = ''] = line.split(' - ');
  const words = before.split(' ');
  return {
    options: (words[5] ?? '').split(','),
    superOptions: (after.split(' ')[2] ?? '').split(','),
    tags: words.slice(6).join(' '),
  };
}

export const tmpfs = (options: string[], destination = '/data'): Mount => ({
  destination,
  type: 'tmpfs',
  source: 'tmpfs',
  options,
});
export const bind = (source: string, options: string[], destination = '/data'): Mount => ({
  destination,
  type: 'none',
  source,
  options,
});

/** A tree on the host with a mount inside it: `source` and `source/inner`; with flags of their own. */
export function hostTree(t: Subject, propagation = 'private', flags: readonly string[] = []): string {
  const source = join(t.directory, 'source');
  mkdirSync(source);
  for (const place of [source, join(source, 'inner')]) {
    mkdirSync(place, { recursive: true });
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'conformance', place]).status, 0);
    t.afterwards(() => spawnSync('umount', ['-l', place]));
    spawnSync('mount', [`--make-${propagation}`, place]);
    writeFileSync(join(place, 'file'), 'from the host\n');
    chmodSync(join(place, 'file'), 0o644);
  }
  // Only now: nothing can be made in what is read-only.
  for (const place of flags.length > 0 ? [source, join(source, 'inner')] : [])
    assert.equal(spawnSync('mount', ['-o', ['remount', 'bind', ...flags].join(), place]).status, 0);
  return source;
}
