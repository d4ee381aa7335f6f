import assert, { AssertionError } from 'node:assert';
import { test } from 'node:test';
import type { RuntimeName } from './runtimes.js';
import { judge, type Difference } from './verdict.js';

const known: Difference = { why: 'crun ignores it', seen: /accepted/ };

/** What judging comes to when one judgement after the other ends so (a message is a failure); and how many there were. */
async function judging(
  runtime: RuntimeName,
  difference: Difference | undefined,
  outcomes: readonly (string | undefined)[],
): Promise<{ trouble: string | undefined; times: number }> {
  let times = 0;
  try {
    await judge(runtime, difference, () => {
      const message = outcomes[times++];
      return Promise.resolve(message === undefined ? undefined : new AssertionError({ message }));
    });
    return { trouble: undefined, times };
  } catch (error) {
    return { trouble: (error as Error).message, times };
  }
}

test('a reference that is once seen otherwise on a busy machine is judged again', async () => {
  assert.deepEqual(await judging('crun', known, ['broken pipe', undefined, 'accepted']), {
    trouble: undefined,
    times: 3,
  });
  assert.deepEqual(await judging('runc', undefined, ['too late', undefined]), {
    trouble: undefined,
    times: 2,
  });
});

test('gantry-oci has one chance', async () => {
  assert.deepEqual(await judging('gantry-oci', undefined, ['too late', undefined]), {
    trouble: 'too late',
    times: 1,
  });
});

test('a known difference that looks otherwise three times is told with the runtime, what was known and what was seen', async () => {
  const { trouble, times } = await judging('crun', known, ['one\n thing', 'one thing', 'other', 'accepted']);
  assert.equal(times, 3);
  assert.match(
    trouble ?? '',
    /crun has another difference than "crun ignores it": one thing .*another time: .*other/,
  );
});

test('a known difference that is no more, and a conformity that is no more, name the runtime', async () => {
  const none = [undefined, undefined, undefined];
  assert.match(
    (await judging('crun', known, none)).trouble ?? '',
    /^crun does as the case says: .*ignores it" is no more$/,
  );
  assert.match(
    (await judging('runc', undefined, ['x', 'x', 'x'])).trouble ?? '',
    /^runc no longer does as the case says: x$/,
  );
});
