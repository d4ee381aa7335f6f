import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';

const options = { skip: skipUnlessRoot, timeout: 30_000 };
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

const into = (path: string) => ({ path: '/bin/sh', args: ['sh', '-c', `cat >${path}`], env: ['PATH=/bin'] });
const stateIn = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

test(
  'a container of the service runs its hooks after the start, and those after the end once it is forgotten',
  options,
  async () => {
    const [started, stopped] = ['poststart', 'poststop'].map((name) => join(fixture.directory, name));
    const spec = specOf(['sleep', '60'], {
      hooks: { poststart: [into(started ?? '')], poststop: [into(stopped ?? '')] },
    });
    const { id, main } = await fixture.start(spec);
    const { pid } = main.start;
    const bundle = join(fixture.runDirectory, 'containers', id);
    assert.deepEqual(stateIn(started ?? ''), { ociVersion: '1.2.0', id, bundle, status: 'running', pid });
    main.signal(9);
    await main.exited;
    assert.ok(!existsSync(stopped ?? ''));
    // A later life of the service knows of it as well.
    await fixture.restart();
    await fixture.spawner.forget(id);
    assert.deepEqual(stateIn(stopped ?? ''), { ociVersion: '1.2.0', id, bundle, status: 'stopped' });
  },
);

test('a poststart hook that fails stops the container and is named', options, async () => {
  const hook = { path: '/bin/sh', args: ['sh', '-c', 'exit 4'] };
  await assert.rejects(fixture.start(specOf(['sleep', '60'], { hooks: { poststart: [hook] } })), {
    code: 'failed_precondition',
    message: 'error running poststart hook #0: /bin/sh: exit status 4',
  });
  const [container] = fixture.spawner.list();
  assert.equal(container?.main.exit?.signal, 9);
});
