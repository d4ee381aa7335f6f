import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { GantryUnderTest, type Finished } from './testing/command-line.js';
import { progressDocument } from './testing/cluster-documents.js';
import { document, failure, ScriptedApi } from './testing/scripted-api.js';

let api: ScriptedApi;
let gantry: GantryUnderTest;

before(async () => {
  api = await ScriptedApi.start();
  gantry = new GantryUnderTest(api.runDirectory);
});
after(() => api.stop());
beforeEach(() => {
  api.script = {};
});

test('a roll-out is shown as it goes, and its end is the exit code', async () => {
  const watch = async (...lines: unknown[]): Promise<Finished> => {
    api.script = {
      'PATCH /v1/services/web': document({}),
      'GET /v1/services/web/rollout': { lines },
    };
    return gantry.run(['service', 'scale', '--detach=false', 'web=3']);
  };
  const begun = { services: [progressDocument({ running: 1 })], converged: false, failed: '' };
  const done = { services: [progressDocument({ running: 3 })], converged: true, failed: '' };
  const good = await watch(begun, begun, done);
  assert.deepEqual(
    [good.exitCode, good.stdout],
    [0, 'web scaled to 3\nshop_web: 1/3 running, starting\nshop_web: 3/3 running, running\n'],
  );
  const state = {
    state: 'rolled_back',
    message: 'a task of the new version failed',
    startedUnixMs: 1,
    completedUnixMs: 2,
  };
  const bad = await watch(begun, {
    services: [progressDocument({ updateStatus: state, problems: ['shop_web.1: exit code 3'] })],
    converged: false,
    failed: 'shop_web was rolled back',
  });
  assert.equal(bad.exitCode, 1);
  assert.match(bad.stdout, /rolled back: a task of the new version failed; shop_web\.1: exit code 3\n$/);
  assert.equal(bad.stderr, 'gantry service: web did not converge: shop_web was rolled back\n');
});

test('a leader that goes away during a roll-out is asked again', async () => {
  let times = 0;
  api.script = {
    'PATCH /v1/services/web': document({}),
    'GET /v1/services/web/rollout': () => {
      times += 1;
      if (times === 1) return { lines: [{ services: [progressDocument()], converged: false, failed: '' }] };
      if (times === 2) return failure(503, 'unavailable', 'no leader');
      return { lines: [{ services: [progressDocument({ running: 3 })], converged: true, failed: '' }] };
    },
  };
  const { exitCode, stdout } = await gantry.run(['service', 'scale', '--detach=false', 'web=3']);
  assert.deepEqual([exitCode, times], [0, 3]);
  assert.match(stdout, /3\/3 running/);
});

test('Ctrl-C leaves the roll-out going and says so', async () => {
  api.script = {
    'PATCH /v1/services/web': document({}),
    'GET /v1/services/web/rollout': {
      lines: [{ services: [progressDocument()], converged: false, failed: '' }],
      stayOpen: true,
    },
  };
  const child = gantry.start(['service', 'scale', '--detach=false', 'web=3']);
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    if (seen.includes('2/3')) child.kill('SIGINT');
  });
  const { exitCode, stderr } = await child.finished;
  assert.equal(exitCode, 130);
  assert.match(stderr, /the roll-out of web goes on; `gantry service ps web`/);
});

test('on a terminal the roll-out is one table, drawn again in place', async () => {
  api.script = {
    'PATCH /v1/services/web': document({}),
    'GET /v1/services/web/rollout': {
      lines: [
        { services: [progressDocument({ running: 1, runningOld: 2 })], converged: false, failed: '' },
        { services: [progressDocument({ running: 3 })], converged: true, failed: '' },
      ],
    },
  };
  const { stdout } = await gantry.runOnTerminal(['service', 'scale', '--detach=false', 'web=3'], '', 'never');
  assert.match(stdout, /SERVICE +RUNNING +OLD +STATE/);
  assert.match(stdout, /shop_web +1\/3 +2 +starting/);
  assert.match(stdout, /\x1b\[2A[^]*shop_web +3\/3 +running/);
});
