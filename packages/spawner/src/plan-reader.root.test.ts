import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { compileContainer } from './container-plan.js';
import { loadNative } from './native.js';
import { ProcessDirectory } from './runtime-records.js';
import { ShimLauncher } from './shim-launcher.js';
import { handleOf, newId, skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';
import { plainShim } from './supervision-fixture.js';

const options = { skip: skipUnlessRoot };
const EBADMSG = 74;
let fixture: SpawnerFixture;
let launcher: ShimLauncher;

before(async () => {
  if (skipUnlessRoot !== false) return;
  fixture = await SpawnerFixture.make();
  launcher = new ShimLauncher(loadNative());
});
after(async () => {
  launcher?.close();
  await fixture?.remove();
});

function wholePlan(): Buffer {
  return compileContainer(
    {
      spec: specOf(['true']),
      lowerdirs: [handleOf(fixture.layer)],
      writable: handleOf(fixture.makeWritable()),
      userNamespace: fixture.sandbox.user,
      networkNamespace: fixture.sandbox.network,
      cgroups: [],
      directory: fixture.makeDirectory('damaged'),
      state: { ociVersion: '1.3.0', id: 'damaged', bundle: '/' },
      supervision: plainShim,
      seccomp: undefined,
    },
    { hierarchies: [], findDevice: () => undefined },
  );
}

/** Where its records begin. */
function startsOf(plan: Buffer): number[] {
  const starts: number[] = [];
  for (let at = 12; at < plan.length; at += 8 + plan.readUInt32LE(at + 4)) starts.push(at);
  return starts;
}

async function failureOf(plan: Buffer) {
  const directory = new ProcessDirectory(fixture.makeDirectory('damaged'));
  const result = await launcher.launch(directory, plan, newId());
  if (result.ok) {
    await result.connection.closed;
    return undefined;
  }
  return result.failure;
}

test('a plan cut short anywhere is refused by the shim, not stumbled over', options, async () => {
  const plan = wholePlan();
  // Cut between two records it is whole, and may have all that a process needs.
  const starts = new Set(startsOf(plan));
  for (let length = 0; length < plan.length; length += 97) {
    if (starts.has(length)) continue;
    const cut = Buffer.from(plan.subarray(0, length));
    // With a header that agrees, so that the records are what is judged.
    if (length >= 12) cut.writeUInt32LE(length, 8);
    const failure = await failureOf(cut);
    assert.ok(failure !== undefined, `cut to ${length}`);
    assert.ok(
      failure.errno === EBADMSG || failure.stage !== 'start the shim',
      `cut to ${length}: ${JSON.stringify(failure)}`,
    );
  }
});

test('lengths that lie are refused', options, async () => {
  const plan = wholePlan();
  const starts = startsOf(plan);
  for (const start of starts) {
    const lying = Buffer.from(plan);
    lying.writeUInt32LE(0xffffffff, start + 4);
    assert.deepEqual(await failureOf(lying), {
      kind: 'failed',
      errno: EBADMSG,
      stage: 'read plan',
      path: '',
    });
  }
});

test('another version of the plan is refused', options, async () => {
  const plan = wholePlan();
  plan.writeUInt32LE(plan.readUInt32LE(4) + 1, 4);
  assert.equal((await failureOf(plan))?.errno, EBADMSG);
});

test('the failed starts left no mounts behind', options, () => {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(fixture.directory));
  assert.equal(mounts.length, 2, 'the two namespaces of the sandbox alone');
});
