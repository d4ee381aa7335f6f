import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NEW_LIFECYCLE, isActive, transition, type Lifecycle, type Policy } from '../lifecycle.js';
import {
  decideTask,
  isEnded,
  isForward,
  type ContainerLook,
  type Desired,
  type TaskFacts,
  type TaskStateName,
  type TaskStep,
} from './decide-task.js';

const fresh: TaskFacts = { desired: 'running', state: 'assigned', hadContainer: false, imageReady: false };

function look(life: Partial<Lifecycle>, change: Partial<ContainerLook> = {}): ContainerLook {
  return {
    life: { ...NEW_LIFECYCLE, ...life },
    health: undefined,
    hasHealthCheck: false,
    bootId: 'boot',
    nodeGoesDown: false,
    ...change,
  };
}

const ran: Partial<Lifecycle> = { attempt: 1, desired: 'running', bootId: 'boot' };
const stateAfter = (step: TaskStep | undefined): string =>
  step?.do === 'enter' ? step.state : (step?.do ?? '');

test('a new task has its image fetched, its container made and started, in that order', () => {
  assert.equal(stateAfter(decideTask(fresh, undefined)), 'preparing');
  assert.equal(decideTask({ ...fresh, state: 'preparing' }, undefined)?.do, 'pull');
  assert.equal(
    stateAfter(decideTask({ ...fresh, state: 'preparing', imageReady: true }, undefined)),
    'starting',
  );
  const starting: TaskFacts = { ...fresh, state: 'starting', imageReady: true };
  assert.equal(decideTask(starting, undefined)?.do, 'create');
  assert.equal(decideTask(starting, look({}))?.do, 'start');
  assert.equal(decideTask(starting, look({ attempt: 1, starting: true })), undefined);
  assert.equal(stateAfter(decideTask(starting, look({ ...ran, state: 'running' }))), 'running');
});

test('with a health check it runs once it is healthy, and fails once it is not', () => {
  const starting: TaskFacts = { ...fresh, state: 'starting', hadContainer: true };
  const checked = (health: ContainerLook['health']): ContainerLook =>
    look({ ...ran, state: 'running' }, { health, hasHealthCheck: true });
  assert.equal(decideTask(starting, checked('starting')), undefined);
  assert.equal(stateAfter(decideTask(starting, checked('healthy'))), 'running');
  const running: TaskFacts = { ...starting, state: 'running' };
  assert.equal(decideTask(running, checked('starting')), undefined, 'after a restart of its own');
  assert.equal(stateAfter(decideTask(running, checked('unhealthy'))), 'failed');
  assert.equal(decideTask({ ...running, state: 'failed' }, checked('unhealthy'))?.do, 'stop');
});

test('what ended by itself, by hand or by the node tells which', () => {
  const running: TaskFacts = { ...fresh, state: 'running', hadContainer: true };
  const ended = (life: Partial<Lifecycle>, change?: Partial<ContainerLook>): TaskStep | undefined =>
    decideTask(running, look({ ...ran, state: 'exited', ...life }, change));
  assert.deepEqual(ended({ exitCode: 0 }), { do: 'enter', state: 'complete', message: '', exitCode: 0 });
  assert.deepEqual(ended({ exitCode: 3 }), {
    do: 'enter',
    state: 'failed',
    message: 'it ended with exit code 3',
    exitCode: 3,
  });
  assert.match(JSON.stringify(ended({ exitCode: 137, oomKilled: true })), /out of memory/);
  assert.match(
    JSON.stringify(ended({ exitCode: 137, desired: 'stopped', stoppedByUser: true })),
    /stopped by hand/,
  );
  assert.match(JSON.stringify(decideTask(running, undefined)), /removed by hand/);
  assert.equal(ended({ exitCode: 143, desired: 'stopped' })?.do, 'start', 'the node went down and is back');
  assert.equal(ended({ exitCode: 143, desired: 'stopped' }, { nodeGoesDown: true }), undefined);
  assert.equal(ended({ exitCode: 255, bootId: 'earlier' })?.do, 'start', 'the machine was restarted');
});

test('a container that never could be started rejects its task with the reason', () => {
  const step = decideTask(
    { ...fresh, state: 'starting', hadContainer: true },
    look({ attempt: 1, state: 'created', error: 'host port 80 is taken' }),
  );
  assert.deepEqual(step, { do: 'enter', state: 'rejected', message: 'host port 80 is taken' });
});

test('states go forward only', () => {
  const all: TaskStateName[] = [
    'assigned',
    'preparing',
    'starting',
    'running',
    'complete',
    'failed',
    'rejected',
    'shutdown',
  ];
  for (const from of all)
    for (const to of all)
      assert.equal(
        isForward(from, to),
        !isEnded(from) && (isEnded(to) || all.indexOf(to) > all.indexOf(from)),
        `${from} to ${to}`,
      );
});

/** A node with one task: what is on disk outlives the agent, what it holds in memory does not. */
class World {
  desired: Desired = 'running';
  state: TaskStateName = 'assigned';
  hadContainer = false;
  imageReady = false;
  life: Lifecycle | undefined;
  forgotten = false;
  readonly policy: Policy;
  readonly history: TaskStateName[] = ['assigned'];
  made = 0;
  now = 1_000;

  constructor(policy: Policy) {
    this.policy = policy;
  }

  apply(event: Parameters<typeof transition>[1]): void {
    if (this.life !== undefined) this.life = transition(this.life, event, this.policy);
  }

  exit(exitCode: number): void {
    if (this.life === undefined || !isActive(this.life)) return;
    this.started();
    this.apply({
      type: 'exited',
      attempt: this.life.attempt,
      exitCode,
      oomKilled: false,
      error: '',
      finishedUnixNanos: this.now * 1e6,
      nowUnixMs: this.now,
    });
  }

  started(): void {
    if (this.life?.starting === true)
      this.apply({ type: 'started', attempt: this.life.attempt, pid: 1, startedUnixNanos: this.now * 1e6 });
  }

  look(): ContainerLook | undefined {
    return this.life === undefined
      ? undefined
      : { life: this.life, health: undefined, hasHealthCheck: false, bootId: 'boot', nodeGoesDown: false };
  }

  next(): TaskStep | undefined {
    if (this.forgotten) return undefined;
    // A container is noticed before anything is decided.
    if (this.life !== undefined) this.hadContainer = true;
    const { desired, state, hadContainer, imageReady } = this;
    return decideTask({ desired, state, hadContainer, imageReady }, this.look());
  }

  /** @param cut - the agent dies in the middle of the step: its effect may be there, what it would note is not */
  perform(step: TaskStep, cut: boolean): void {
    switch (step.do) {
      case 'pull':
        this.imageReady = !cut;
        return;
      case 'create':
        assert.equal(this.life, undefined, 'never two containers of one task');
        this.made += 1;
        this.life = NEW_LIFECYCLE;
        return;
      case 'start':
        assert.ok(this.life !== undefined && !isActive(this.life), 'what runs is not started');
        assert.equal(this.desired, 'running');
        this.apply({ type: 'start', bootId: 'boot', automatic: false });
        if (!cut) this.started();
        return;
      case 'stop':
        this.apply({ type: 'stop', thenStart: false });
        if (!cut) this.exit(143);
        return;
      case 'remove':
        this.apply({ type: 'remove', volumes: true });
        assert.equal(this.life?.state, 'removing', 'only what does not run is removed');
        if (!cut) this.life = undefined;
        return;
      case 'enter':
        if (cut) return;
        assert.ok(isForward(this.state, step.state), `${this.state} to ${step.state}`);
        this.state = step.state;
        this.history.push(step.state);
        return;
      case 'forget':
        assert.equal(this.life, undefined, 'removed means that nothing is left');
        this.forgotten = true;
    }
  }
}

type Move =
  | { readonly kind: 'step'; readonly cut: boolean }
  | { readonly kind: 'wish'; readonly desired: Desired }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'stop-by-hand' | 'remove-by-hand' | 'agent-dies' | 'policy' };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('step'), cut: fc.boolean() }) as fc.Arbitrary<Move> },
  fc.record({
    kind: fc.constant('wish'),
    desired: fc.constantFrom('shutdown', 'removed'),
  }) as fc.Arbitrary<Move>,
  fc.record({ kind: fc.constant('exit'), code: fc.constantFrom(0, 1) }) as fc.Arbitrary<Move>,
  fc.record({
    kind: fc.constantFrom('stop-by-hand', 'remove-by-hand', 'agent-dies', 'policy'),
  }) as fc.Arbitrary<Move>,
);

const firmness: readonly Desired[] = ['running', 'shutdown', 'removed'];

function make(world: World, next: Move): void {
  world.now += 100;
  switch (next.kind) {
    case 'step': {
      const step = world.next();
      if (step !== undefined) world.perform(step, next.cut);
      if (next.cut) world.imageReady = false;
      return;
    }
    case 'wish':
      if (firmness.indexOf(next.desired) > firmness.indexOf(world.desired)) world.desired = next.desired;
      return;
    case 'exit':
      world.exit(next.code);
      return;
    case 'stop-by-hand':
      world.apply({ type: 'stop', thenStart: false });
      world.exit(143);
      return;
    case 'remove-by-hand':
      world.apply({ type: 'stop', thenStart: false });
      world.exit(137);
      // Noticed by the agent's event, before the record is gone.
      if (world.life !== undefined) world.hadContainer = true;
      world.life = undefined;
      return;
    case 'agent-dies':
      world.imageReady = false;
      return;
    case 'policy':
      // Container lifecycle's own work: finish a start cut short, start what is due.
      world.started();
      if (world.life?.state === 'restarting') {
        world.apply({ type: 'start', bootId: 'boot', automatic: true });
        world.started();
      }
  }
}

test('whenever the agent dies and whatever hands do, a task has one container, goes forward, and leaves nothing', () => {
  const policy = fc.constantFrom<Policy>(
    { name: 'no', maximumRetryCount: 0 },
    { name: 'always', maximumRetryCount: 0 },
    { name: 'on-failure', maximumRetryCount: 2 },
  );
  fc.assert(
    fc.property(policy, fc.array(move, { maxLength: 40 }), (chosen, moves) => {
      const world = new World(chosen);
      for (const one of moves) make(world, one);
      for (let steps = 0; ; steps += 1) {
        assert.ok(steps < 30, 'it comes to rest');
        make(world, { kind: 'policy' });
        const step = world.next();
        if (step === undefined) break;
        world.perform(step, false);
      }
      assert.ok(world.made <= 1, 'a task never has a second container');
      if (world.desired === 'removed') assert.ok(world.forgotten && world.life === undefined);
      if (world.desired === 'shutdown') assert.ok(isEnded(world.state) && world.life === undefined);
      if (world.desired === 'running') {
        const runs = world.life !== undefined && isActive(world.life);
        assert.equal(
          runs,
          world.state === 'running',
          `${world.state} with ${world.life?.state ?? 'no container'}`,
        );
      }
    }),
    { numRuns: 5_000 },
  );
});
