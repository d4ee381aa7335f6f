import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide, type Observed, type ObservedProcess, type Step } from './decide.js';
import {
  backoffMs,
  isActive,
  NEW_LIFECYCLE,
  transition,
  type Lifecycle,
  type LifecycleEvent,
  type Policy,
} from './lifecycle.js';

const no: Policy = { name: 'no', maximumRetryCount: 0 };
const always: Policy = { name: 'always', maximumRetryCount: 0 };
const unlessStopped: Policy = { name: 'unless-stopped', maximumRetryCount: 0 };

function play(policy: Policy, ...events: readonly LifecycleEvent[]): Lifecycle {
  return events.reduce<Lifecycle>((life, event) => transition(life, event, policy), NEW_LIFECYCLE);
}

const start: LifecycleEvent = { type: 'start', bootId: 'b', automatic: false };
const again: LifecycleEvent = { type: 'start', bootId: 'b', automatic: true };
const started = (attempt: number, atMs = 1000): LifecycleEvent => ({
  type: 'started',
  attempt,
  pid: 100 + attempt,
  startedUnixNanos: atMs * 1e6,
});
const exited = (attempt: number, exitCode = 0, atMs = 2000): LifecycleEvent => ({
  type: 'exited',
  attempt,
  exitCode,
  oomKilled: false,
  error: '',
  finishedUnixNanos: atMs * 1e6,
  nowUnixMs: atMs,
});

test('a container without a policy runs once and stays exited', () => {
  const life = play(no, start, started(1), exited(1, 3));
  assert.equal(life.state, 'exited');
  assert.equal(life.exitCode, 3);
  assert.equal(life.attempt, 1);
});

test('an exit of an earlier attempt changes nothing', () => {
  const running = play(always, start, started(1), exited(1), again, started(2));
  assert.equal(transition(running, exited(1), always), running);
});

test('the back-off doubles from 100 ms to a minute and is forgotten after ten seconds up', () => {
  assert.deepEqual([0, 1, 2, 9, 10, 50].map(backoffMs), [100, 200, 400, 51_200, 60_000, 60_000]);
  const quick = play(
    always,
    start,
    started(1, 0),
    exited(1, 1, 500),
    again,
    started(2, 1000),
    exited(2, 1, 1500),
  );
  assert.equal(quick.state, 'restarting');
  assert.equal(quick.restartAtUnixMs, 1500 + 200);
  const steady = [again, started(3, 2000), exited(3, 1, 12_000)].reduce(
    (life, event) => transition(life, event, always),
    quick,
  );
  assert.equal(steady.restartAtUnixMs, 12_000 + 100);
});

test('on-failure restarts as often as it may, and not after success', () => {
  const twice: Policy = { name: 'on-failure', maximumRetryCount: 2 };
  const once = play(twice, start, started(1), exited(1, 1));
  assert.equal(once.state, 'restarting');
  const ended = [again, started(2), exited(2, 1), again, started(3), exited(3, 1)].reduce(
    (life, event) => transition(life, event, twice),
    once,
  );
  assert.equal(ended.state, 'exited');
  assert.equal(ended.restartCount, 2);
  assert.equal(play(twice, start, started(1), exited(1, 0)).state, 'exited');
});

test('a policy may have its own delay, and a maximum that counts only what lies within its window', () => {
  const policy: Policy = { name: 'always', maximumRetryCount: 2, delayMs: 500, windowMs: 10_000 };
  const first = play(policy, start, started(1, 1000), exited(1, 0, 2000));
  assert.equal(first.restartAtUnixMs, 2500);
  const second = [again, started(2, 2500), exited(2, 0, 3000)].reduce(
    (life, event) => transition(life, event, policy),
    first,
  );
  assert.equal(second.restartAtUnixMs, 3500);
  const third = (nowUnixMs: number): Lifecycle =>
    [again, started(3, 3500), exited(3, 0, nowUnixMs)].reduce(
      (life, event) => transition(life, event, policy),
      second,
    );
  assert.equal(third(4000).state, 'exited', 'two restarts within ten seconds are all it has');
  assert.equal(third(13_000).state, 'restarting', 'the first restart is forgotten');
  assert.deepEqual(third(13_000).restartsUnixMs, [3500, 13_500]);
  const counted: Policy = { name: 'always', maximumRetryCount: 1 };
  const once = play(counted, start, started(1), exited(1, 0));
  assert.equal(once.state, 'restarting');
  assert.equal(
    [again, started(2), exited(2, 0)].reduce((life, event) => transition(life, event, counted), once).state,
    'exited',
  );
});

test('the user’s own start begins the counting anew', () => {
  const policy: Policy = { name: 'on-failure', maximumRetryCount: 1, windowMs: 60_000 };
  const ended = play(policy, start, started(1), exited(1, 1, 1000), again, started(2), exited(2, 1, 2000));
  assert.equal(ended.state, 'exited');
  const anew = [start, started(3), exited(3, 1, 3000)].reduce(
    (life, event) => transition(life, event, policy),
    ended,
  );
  assert.equal(anew.state, 'restarting');
});

test('a container the user stopped stays stopped, and one the user restarts starts again', () => {
  assert.equal(
    play(always, start, started(1), { type: 'stop', thenStart: false }, exited(1, 143)).state,
    'exited',
  );
  const life = play(no, start, started(1), { type: 'stop', thenStart: true }, exited(1, 143));
  assert.equal(life.state, 'restarting');
  assert.equal(transition(life, again, no).restartCount, 0);
});

test('a first start that fails leaves the container as it was, with the reason', () => {
  const failed: LifecycleEvent = {
    type: 'start-failed',
    attempt: 1,
    error: 'no such command',
    exitCode: 127,
    nowUnixMs: 0,
  };
  const life = play(always, start, failed);
  assert.equal(life.state, 'created');
  assert.equal(life.exitCode, 127);
  assert.equal(life.error, 'no such command');
});

const nothing: Observed = {
  process: undefined,
  sandbox: false,
  cgroup: false,
  rootfs: true,
  bootId: 'b',
  nowUnixMs: 5000,
  nodeStarted: false,
};
const kinds = (steps: readonly Step[]): string[] => steps.map((step) => step.do);
const keep = { autoRemove: false };

test('a start found half-done is finished with the same attempt, a running one is adopted', () => {
  const starting = play(no, start);
  assert.deepEqual(decide(starting, nothing, no, keep), [{ do: 'finish-start', attempt: 1 }]);
  const process: ObservedProcess = { status: 'running', attempt: 1, pid: 7, startedUnixNanos: 1 };
  assert.deepEqual(kinds(decide(starting, { ...nothing, process }, no, keep)), ['record-running']);
});

test('a stop found half-done is finished', () => {
  const stopping = play(no, start, started(1), { type: 'stop', thenStart: false });
  const process: ObservedProcess = { status: 'running', attempt: 1, pid: 101, startedUnixNanos: 1 };
  assert.deepEqual(kinds(decide(stopping, { ...nothing, process }, no, keep)), ['finish-stop']);
});

test('after a reboot a running container counts as exited with 255 and its policy decides', () => {
  const running = play(unlessStopped, start, started(1));
  const [step] = decide(running, { ...nothing, bootId: 'c' }, unlessStopped, keep);
  assert.ok(step?.do === 'record-exit');
  assert.equal(step.exit.exitCode, 255);
});

test('taking the node down and up starts those containers again that their policy keeps', () => {
  const down = (policy: Policy, ...more: readonly LifecycleEvent[]): readonly string[] => {
    const life = play(policy, start, started(1), ...more, { type: 'suspend' }, exited(1, 143));
    assert.equal(life.state, 'exited');
    return kinds(decide(life, { ...nothing, nodeStarted: true }, policy, keep));
  };
  assert.deepEqual(down(always), ['start-automatically']);
  assert.deepEqual(down(unlessStopped), ['start-automatically']);
  assert.deepEqual(down(no), []);
  assert.deepEqual(down(unlessStopped, { type: 'stop', thenStart: false }), []);
});

test('what ended gives everything back, and what is removed leaves no record', () => {
  const process: ObservedProcess = {
    status: 'exited',
    attempt: 1,
    exit: { exitCode: 0, oomKilled: false, error: '', finishedUnixNanos: 1 },
  };
  const full = { ...nothing, process, sandbox: true, cgroup: true };
  const ended = play(no, start, started(1), exited(1));
  assert.deepEqual(kinds(decide(ended, full, no, keep)), [
    'forget-process',
    'detach-sandbox',
    'destroy-cgroup',
  ]);
  const removing = transition(ended, { type: 'remove', volumes: true }, no);
  assert.deepEqual(kinds(decide(removing, full, no, keep)), [
    'forget-process',
    'detach-sandbox',
    'destroy-cgroup',
    'release-rootfs',
    'remove-volumes',
    'delete-record',
  ]);
});

/**
 * A node in which the agent may die before any step: the services keep what they have, the record keeps what was
 * written. Every world is driven to rest at the end, and must then be in order.
 */
class World {
  life: Lifecycle | undefined = NEW_LIFECYCLE;
  process: ObservedProcess | undefined;
  sandbox = false;
  cgroup = false;
  rootfs = true;
  bootId = 'boot-0';
  now = 1000;
  highestAttempt = 0;
  readonly policy: Policy;
  constructor(policy: Policy) {
    this.policy = policy;
  }

  apply(event: LifecycleEvent): void {
    if (this.life === undefined) return;
    const next = transition(this.life, event, this.policy);
    assert.ok(next.attempt >= this.life.attempt, 'attempts only grow');
    this.life = next;
  }

  /** The spawner: idempotent under the attempt, refusing older ones and a second running one. */
  spawn(attempt: number): void {
    assert.ok(attempt >= this.highestAttempt, 'an older attempt is never started');
    this.highestAttempt = attempt;
    if (this.process?.attempt === attempt) return;
    assert.notEqual(this.process?.status, 'running', 'never two running attempts');
    this.process = { status: 'running', attempt, pid: 500 + attempt, startedUnixNanos: this.now * 1e6 };
  }

  observe(nodeStarted = false): Observed {
    const { process, sandbox, cgroup, rootfs, bootId, now } = this;
    return { process, sandbox, cgroup, rootfs, bootId, nowUnixMs: now, nodeStarted };
  }

  /** Starts as the executor does, dying after `until` moves (0: none done, 4: all). */
  start(automatic: boolean, until: number): void {
    this.apply({ type: 'start', bootId: this.bootId, automatic });
    if (this.life?.starting !== true || until < 1) return;
    this.finishStart(until);
  }

  finishStart(until: number): void {
    const attempt = this.life?.attempt ?? 0;
    this.sandbox = this.cgroup = true;
    if (until < 2) return;
    this.spawn(attempt);
    if (until < 3) return;
    this.apply({ type: 'started', attempt, pid: 500 + attempt, startedUnixNanos: this.now * 1e6 });
  }

  perform(step: Step): void {
    switch (step.do) {
      case 'record-running':
        this.apply({
          type: 'started',
          attempt: step.attempt,
          pid: step.pid,
          startedUnixNanos: step.startedUnixNanos,
        });
        return;
      case 'record-exit':
        this.apply({ type: 'exited', attempt: step.attempt, ...step.exit, nowUnixMs: this.now });
        return;
      case 'finish-start':
        this.finishStart(3);
        return;
      case 'finish-stop':
      case 'kill-process':
        this.exit(137);
        return;
      case 'forget-process':
        assert.notEqual(this.process?.status, 'running', 'a running process is never forgotten');
        this.process = undefined;
        return;
      case 'detach-sandbox':
        this.sandbox = false;
        return;
      case 'destroy-cgroup':
        assert.notEqual(this.process?.status, 'running');
        this.cgroup = false;
        return;
      case 'release-rootfs':
        this.rootfs = false;
        return;
      case 'remove-volumes':
        return;
      case 'delete-record':
        this.life = undefined;
        return;
      case 'record-removal':
        this.apply({ type: 'remove', volumes: true });
        return;
      case 'start-automatically':
        this.start(true, 3);
        return;
      case 'await-restart':
        this.now = Math.max(this.now, step.atUnixMs);
        this.start(true, 3);
    }
  }

  exit(code: number): void {
    if (this.process?.status !== 'running') return;
    const exit = { exitCode: code, oomKilled: false, error: '', finishedUnixNanos: this.now * 1e6 };
    this.process = { status: 'exited', attempt: this.process.attempt, exit };
  }

  /** One look of the agent, which dies after `until` steps. */
  reconcile(autoRemove: boolean, until = 100, nodeStarted = false): number {
    if (this.life === undefined) return 0;
    const steps = decide(this.life, this.observe(nodeStarted), this.policy, { autoRemove });
    for (const step of steps.slice(0, until)) this.perform(step);
    return steps.length;
  }

  reboot(): void {
    this.bootId += "'";
    this.process = undefined;
    this.sandbox = this.cgroup = false;
  }
}

type Move =
  | { readonly kind: 'start'; readonly until: number }
  | { readonly kind: 'stop' | 'restart' | 'suspend' | 'pause' | 'unpause' | 'remove' | 'reboot' | 'up' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'look'; readonly until: number }
  | { readonly kind: 'later'; readonly ms: number };

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ kind: fc.constant('start' as const), until: fc.integer({ min: 0, max: 3 }) }),
  fc.record({
    kind: fc.constantFrom(
      'stop',
      'restart',
      'suspend',
      'pause',
      'unpause',
      'remove',
      'reboot',
      'up' as const,
    ),
  }),
  fc.record({ kind: fc.constant('exit' as const), code: fc.constantFrom(0, 1, 137) }),
  fc.record({ kind: fc.constant('look' as const), until: fc.integer({ min: 0, max: 5 }) }),
  fc.record({ kind: fc.constant('later' as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
);

function make(world: World, { autoRemove }: { autoRemove: boolean }, next: Move): void {
  switch (next.kind) {
    case 'start':
      // The agent looks before it starts what a dead one left half-done.
      if (world.life !== undefined && !isActive(world.life) && world.process === undefined)
        world.start(false, next.until);
      return;
    case 'stop':
    case 'restart':
      world.apply({ type: 'stop', thenStart: next.kind === 'restart' });
      return;
    case 'suspend':
    case 'pause':
    case 'unpause':
      world.apply({ type: next.kind });
      return;
    case 'remove':
      world.apply({ type: 'remove', volumes: false });
      return;
    case 'reboot':
      world.reboot();
      return;
    case 'up':
      world.reconcile(autoRemove, 100, true);
      return;
    case 'exit':
      world.exit(next.code);
      return;
    case 'look':
      world.reconcile(autoRemove, next.until);
      return;
    case 'later':
      world.now += next.ms;
  }
}

test('however often the agent dies between two steps, no container runs twice and all comes to rest in order', () => {
  const policy = fc.constantFrom<Policy>(
    no,
    always,
    unlessStopped,
    {
      name: 'on-failure',
      maximumRetryCount: 2,
    },
    {
      name: 'always',
      maximumRetryCount: 2,
      delayMs: 0,
      windowMs: 5000,
    },
  );
  fc.assert(
    fc.property(policy, fc.boolean(), fc.array(move, { maxLength: 40 }), (chosen, autoRemove, moves) => {
      const world = new World(chosen);
      for (const next of moves) make(world, { autoRemove }, next);
      for (let look = 0; look < 12 && world.reconcile(autoRemove) > 0; look += 1);
      const { life } = world;
      if (life === undefined) {
        assert.equal(world.process, undefined);
        assert.ok(
          !world.sandbox && !world.cgroup && !world.rootfs,
          'removed means that everything is released',
        );
        return;
      }
      assert.equal(isActive(life), world.process?.status === 'running', 'the record tells the truth');
      if (!isActive(life)) assert.ok(!world.sandbox && !world.cgroup && world.process === undefined);
      else assert.equal(life.attempt, world.process?.attempt);
    }),
    { numRuns: 2000 },
  );
});
