import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { differently, type Case } from '../case.js';
import type { Hook } from '../spec.js';
import { processOf, type State, type Subject } from '../subject.js';

const kinds = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;
type Kind = (typeof kinds)[number];

/** A hook that notes its kind in the log and keeps the state that it was given. */
function noting(t: Subject, kind: Kind, word = kind as string): Hook {
  // startContainer runs inside: there the log is in the root file system.
  const isInside = kind === 'startContainer';
  const script = join(isInside ? t.rootfs : t.directory, isInside ? 'hook-inside' : 'hook');
  writeFileSync(
    script,
    `#!/bin/sh\n{ echo "$1"; } >>"$2/log"\ncat >"$2/state-$1"\nreadlink /proc/self/ns/mnt >"$2/mnt-$1"\nexit "\${3:-0}"\n`,
  );
  chmodSync(script, 0o755);
  const place = isInside ? '/data' : t.directory;
  return {
    path: isInside ? '/hook-inside' : script,
    args: ['hook', word, place],
    env: ['PATH=/usr/bin:/bin'],
  };
}

const failing = (t: Subject, kind: Kind): Hook => {
  const hook = noting(t, kind);
  return { ...hook, args: [...(hook.args ?? []), '3'] };
};

const log = (t: Subject): string[] =>
  [join(t.directory, 'log'), join(t.rootfs, 'data/log')]
    .filter((path) => existsSync(path))
    .flatMap((path) => readFileSync(path, 'utf8').trim().split('\n'));

const stateOf = (t: Subject, kind: Kind): State =>
  JSON.parse(
    readFileSync(
      join(kind === 'startContainer' ? join(t.rootfs, 'data') : t.directory, `state-${kind}`),
      'utf8',
    ),
  ) as State;

const runsPoststartInCreate = differently(
  'runc runs poststart hooks at the end of create',
  /poststart|status created|exit status 3/,
);

export const hookCases: readonly Case[] = [
  {
    title: 'hooks run in the order of the lifecycle, each at its time',
    covers: ['hooks', ...kinds.map((kind) => `hooks.${kind}`)],
    async judge(t) {
      t.spec.hooks = Object.fromEntries(kinds.map((kind) => [kind, [noting(t, kind)]]));
      await t.create(['sleep', '100']);
      assert.deepEqual(log(t), ['prestart', 'createRuntime', 'createContainer']);
      await t.start();
      assert.deepEqual(log(t).sort(), [
        'createContainer',
        'createRuntime',
        'poststart',
        'prestart',
        'startContainer',
      ]);
      await t.kill('KILL');
      await t.statusIs('stopped');
      assert.ok(!log(t).includes('poststop'));
      await t.remove();
      assert.ok(log(t).includes('poststop'));
    },
    differs: { runc: runsPoststartInCreate },
  },
  ...kinds.map((kind): Case => ({
    title: `${kind} hooks run in the listed order, with their args and env`,
    covers: [`hooks.${kind}[].path`, `hooks.${kind}[].args`, `hooks.${kind}[].env`],
    async judge(t) {
      const hooks = ['first', 'second', 'third'].map((word) => noting(t, kind, word));
      const inside = kind === 'startContainer';
      const shell = inside ? '/bin/sh' : '/bin/sh';
      const place = inside ? '/data' : t.directory;
      hooks.push({
        path: shell,
        args: ['sh', '-c', 'echo "$MARK$0" >>"$PLACE/log"', 'zero'],
        env: ['MARK=fourth ', `PLACE=${place}`],
      });
      t.spec.hooks = { [kind]: hooks };
      await t.inside('true');
      assert.deepEqual(log(t), ['first', 'second', 'third', 'fourth zero']);
    },
  })),
  ...kinds.map((kind): Case => ({
    title: `a ${kind} hook gets the state of the container on standard input`,
    covers: [`hooks.${kind}`, 'state: what hooks are given'],
    async judge(t) {
      t.spec.annotations = { key: 'value' };
      t.spec.hooks = { [kind]: [noting(t, kind)] };
      await t.create(['sleep', '100']);
      const { pid } = await t.state();
      await t.start();
      await t.remove('--force');
      const state = stateOf(t, kind);
      assert.equal(state.id, t.id);
      assert.equal(state.bundle, t.bundle);
      assert.match(state.ociVersion, /^1\./);
      assert.deepEqual(state.annotations, { key: 'value' });
      const expected: Record<Kind, string[]> = {
        prestart: ['creating', 'created'],
        createRuntime: ['creating', 'created'],
        createContainer: ['creating', 'created'],
        startContainer: ['created', 'starting', 'creating'],
        poststart: ['running'],
        poststop: ['stopped'],
      };
      assert.ok(expected[kind].includes(state.status), `status ${state.status}`);
      if (['prestart', 'createRuntime', 'poststart'].includes(kind)) assert.equal(state.pid, pid);
      // In the container's namespace it is the pid seen there.
      if (kind === 'startContainer') assert.equal(state.pid, 1);
    },
    ...(kind === 'poststart' ? { differs: { runc: runsPoststartInCreate } } : {}),
    ...(kind === 'startContainer'
      ? { differs: { crun: differently('crun gives / for the bundle', /bundle/) } }
      : {}),
  })),
  {
    title: 'hooks run in the namespaces that the specification says',
    covers: ['hooks'],
    async judge(t) {
      t.spec.hooks = Object.fromEntries(kinds.map((kind) => [kind, [noting(t, kind)]]));
      await t.create(['sleep', '100']);
      const { pid } = await t.state();
      await t.start();
      const inside = (await t.execOutput('readlink', '/proc/self/ns/mnt')).trim();
      await t.remove('--force');
      assert.ok(pid);
      const place = (kind: Kind): string =>
        readFileSync(
          join(kind === 'startContainer' ? join(t.rootfs, 'data') : t.directory, `mnt-${kind}`),
          'utf8',
        ).trim();
      for (const kind of ['createContainer', 'startContainer'] as const)
        assert.equal(place(kind), inside, kind);
      for (const kind of ['prestart', 'createRuntime', 'poststart', 'poststop'] as const)
        assert.notEqual(place(kind), inside, kind);
    },
  },
  ...(['prestart', 'createRuntime', 'createContainer'] as const).map((kind): Case => ({
    title: `a ${kind} hook that fails fails create, and nothing is left`,
    covers: [`hooks.${kind}`],
    async judge(t) {
      t.spec.hooks = {
        [kind]: [failing(t, kind), noting(t, kind, 'never')],
        poststop: [noting(t, 'poststop')],
      };
      t.writeSpec();
      const { code, stderr } = await t.ask(['create', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /hook|exit/i);
      assert.ok(!log(t).includes('never'), 'the hook after it ran');
      assert.notEqual((await t.ask(['state', t.id])).code, 0, 'a container was left');
    },
  })),
  {
    title: 'a startContainer hook without env has the environment of the process, and one with env has that',
    covers: ['hooks.startContainer[].env'],
    async judge(t) {
      t.writeInside('tell', '#!/bin/sh\nenv | grep ^WHO >>/data/who; exit 0\n', 0o755);
      processOf(t).env.push('WHO=process');
      t.spec.hooks = {
        startContainer: [
          { path: '/tell', args: ['tell'] },
          { path: '/tell', args: ['tell'], env: ['PATH=/bin', 'WHO=hook'] },
          { path: '/tell', args: ['tell'], env: ['PATH=/bin'] },
        ],
      };
      await t.inside('true');
      assert.equal(readFileSync(join(t.rootfs, 'data/who'), 'utf8'), 'WHO=process\nWHO=hook\n');
    },
  },
  {
    title: 'a startContainer hook that fails fails start, and the command does not run',
    covers: ['hooks.startContainer'],
    async judge(t) {
      t.spec.hooks = { startContainer: [failing(t, 'startContainer')] };
      await t.create(['sh', '-c', 'echo it ran >/data/ran']);
      await t.ask(['start', t.id]);
      await t.ask(['delete', '--force', t.id]);
      assert.ok(!existsSync(join(t.rootfs, 'data/ran')));
      assert.deepEqual(log(t), ['startContainer']);
    },
  },
  {
    title: 'a poststart hook that fails fails start and stops the container',
    covers: ['hooks.poststart'],
    async judge(t) {
      t.spec.hooks = { poststart: [failing(t, 'poststart')] };
      await t.create(['sleep', '100']);
      const { code } = await t.ask(['start', t.id]);
      assert.notEqual(code, 0);
      const { code: found, stdout } = await t.ask(['state', t.id]);
      if (found === 0) assert.equal((JSON.parse(stdout) as State).status, 'stopped');
    },
    differs: {
      runc: runsPoststartInCreate,
      crun: differently('crun ignores it', /unequal to: 0|not equal|strictly unequal/),
    },
  },
  {
    title: 'a poststop hook that fails is warned about; the others run and delete succeeds',
    covers: ['hooks.poststop'],
    async judge(t) {
      t.spec.hooks = { poststop: [failing(t, 'poststop'), noting(t, 'poststop', 'after')] };
      await t.create(['true']);
      await t.start();
      await t.statusIs('stopped');
      await t.remove();
      assert.deepEqual(log(t), ['poststop', 'after']);
    },
    differs: { runc: differently('runc stops at the first that fails', /after/) },
  },
  ...kinds.map((kind): Case => ({
    title: `a ${kind} hook that takes longer than its timeout is ended`,
    covers: [`hooks.${kind}[].timeout`],
    async judge(t) {
      t.spec.hooks = { [kind]: [{ path: '/bin/sleep', args: ['sleep', '30'], timeout: 1 }] };
      const started = performance.now();
      const { code } = await t.run(['true']);
      assert.ok(performance.now() - started < 8_000, 'it was waited for');
      if (kind !== 'poststop') assert.notEqual(code, 0, 'an ended hook is a failed one');
    },
  })),
  ...kinds.map((kind): Case => ({
    title: `a ${kind} hook whose path is not absolute is refused`,
    covers: [`hooks.${kind}[].path`],
    async judge(t) {
      // One that reads the state: crun fails over the closed pipe of one that is gone before.
      t.spec.hooks = { [kind]: [{ path: 'cat' }] };
      await t.refused(/hook|path|absolute/i);
    },
    differs: {
      crun: differently('crun looks relative paths up', /accepted/),
      ...(kind === 'poststop' ? { runc: differently('runc finds out too late to refuse', /accepted/) } : {}),
    },
  })),
  {
    title: 'a hook timeout of zero is refused',
    covers: ['hooks.createRuntime[].timeout'],
    async judge(t) {
      t.spec.hooks = { createRuntime: [{ path: '/bin/true', timeout: 0 }] };
      await t.refused(/timeout/i);
    },
    differs: { crun: differently('crun takes zero as none', /accepted/) },
  },
  {
    title: 'a hook that does not read its standard input does no harm',
    covers: ['hooks.createRuntime'],
    async judge(t) {
      t.spec.annotations = { long: 'x'.repeat(100_000) };
      t.spec.hooks = { createRuntime: [{ path: '/bin/true' }] };
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
];
