import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeOnNode, eventually, testImage } from '@gantry/test-harness';

describeOnNode('the life of a container', (getNode) => {
  test('create, start, wait and rm go through the states created, running, exited', async () => {
    const node = getNode();
    const id = await node.must('create', '--name', 'one', testImage, 'sh', '-c', 'sleep 0.3; exit 5');
    assert.equal((await node.inspect('one')).State.Status, 'created');
    assert.equal(await node.must('start', 'one'), 'one');
    assert.equal(await node.must('wait', id.slice(0, 12)), '5');
    const { State } = await node.inspect(id);
    assert.deepEqual([State.Status, State.ExitCode, State.Pid], ['exited', 5, 0]);
    assert.equal(await node.must('rm', 'one'), 'one');
    assert.equal((await node.gantry(['inspect', 'one'])).code, 1);
  });

  test('start -a shows the output and gives the exit code, a second start runs it again', async () => {
    const node = getNode();
    await node.must('create', '--name', 'again', testImage, 'sh', '-c', 'echo hi; exit 3');
    for (let round = 0; round < 2; round += 1) {
      const { code, stdout } = await node.gantry(['start', '-a', 'again']);
      assert.deepEqual([code, stdout], [3, 'hi\n']);
    }
  });

  test('stop asks with SIGTERM, and kills what does not listen after the time', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'polite', testImage, 'payload', 'polite');
    await node.must('run', '-d', '--name', 'stubborn', testImage, 'payload', 'stubborn');
    await eventually(
      'both are ready',
      async () =>
        (await node.must('logs', 'polite')) + (await node.must('logs', 'stubborn')) === 'readyready',
    );
    await node.must('stop', 'polite');
    assert.equal((await node.inspect('polite')).State.ExitCode, 7);
    const started = performance.now();
    await node.must('stop', '-t', '1', 'stubborn');
    const seconds = (performance.now() - started) / 1000;
    assert.ok(seconds > 0.9 && seconds < 4, `${seconds} s`);
    assert.equal((await node.inspect('stubborn')).State.ExitCode, 137);
  });

  test('--stop-signal and --stop-timeout are what stop uses', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'odd',
      '--stop-signal',
      'USR1',
      '--stop-timeout',
      '1',
      testImage,
      'sh',
      '-c',
      'trap "exit 9" USR1; while :; do sleep 0.05; done',
    );
    await node.must('stop', 'odd');
    assert.equal((await node.inspect('odd')).State.ExitCode, 9);
  });

  test('kill sends the signal that is named', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'victim',
      testImage,
      'sh',
      '-c',
      'trap "exit 11" HUP; while :; do sleep 0.05; done',
    );
    await node.must('kill', '-s', 'HUP', 'victim');
    assert.equal(await node.must('wait', 'victim'), '11');
  });

  test('restart gives a new process and keeps the files', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'fresh', testImage, 'sh', '-c', 'echo x >> /kept; sleep 1000');
    const before = (await node.inspect('fresh')).State.Pid;
    await node.must('restart', '-t', '0', 'fresh');
    const after = (await node.inspect('fresh')).State.Pid;
    assert.notEqual(after, before);
    assert.equal(await node.must('exec', 'fresh', 'cat', '/kept'), 'x\nx');
  });

  test('pause stops the processes and unpause lets them go on', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'frozen', testImage, 'payload', 'count', '20000');
    await node.must('pause', 'frozen');
    assert.equal((await node.inspect('frozen')).State.Status, 'paused');
    const atRest = await node.must('logs', 'frozen');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(await node.must('logs', 'frozen'), atRest);
    await node.must('unpause', 'frozen');
    await eventually('it counts on', async () => (await node.must('logs', 'frozen')).length > atRest.length);
  });

  test('rename gives the name away, and the old one is free again', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'old', testImage, 'sleep', '1000');
    await node.must('rename', 'old', 'new');
    assert.equal((await node.inspect('new')).Name, '/new');
    await node.must('run', '-d', '--name', 'old', testImage, 'sleep', '1000');
  });

  test('--restart on-failure:2 starts again twice and then rests', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'failing',
      '--restart',
      'on-failure:2',
      testImage,
      'sh',
      '-c',
      'exit 4',
    );
    await eventually('it has given up', async () => {
      const { State, RestartCount } = await node.inspect('failing');
      return State.Status === 'exited' && RestartCount === 2 && State.ExitCode === 4;
    });
  });

  test('--restart always starts again after a success, until it is stopped', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'eternal',
      '--restart',
      'always',
      testImage,
      'sh',
      '-c',
      'sleep 0.1',
    );
    await eventually('it was started again', async () => (await node.inspect('eternal')).RestartCount >= 2);
    await node.must('stop', 'eternal');
    const { RestartCount } = await node.inspect('eternal');
    await new Promise((resolve) => setTimeout(resolve, 700));
    const { State, RestartCount: later } = await node.inspect('eternal');
    assert.deepEqual([State.Running, later], [false, RestartCount]);
  });

  test('a health check turns starting into healthy, and unhealthy when it fails', async () => {
    const node = getNode();
    await node.must(
      ...[
        'run',
        '-d',
        '--name',
        'patient',
        '--health-cmd',
        'test ! -e /ill',
        '--health-interval',
        '200ms',
        '--health-retries',
        '2',
      ],
      ...[testImage, 'sleep', '1000'],
    );
    await eventually(
      'healthy',
      async () => (await node.inspect('patient')).State.Health?.Status === 'healthy',
    );
    assert.match(await node.must('ps'), /\(healthy\)/);
    await node.must('exec', 'patient', 'touch', '/ill');
    await eventually(
      'unhealthy',
      async () => (await node.inspect('patient')).State.Health?.Status === 'unhealthy',
    );
  });

  test('ps filters, formats and counts as asked', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'blue', '--label', 'colour=blue', testImage, 'sleep', '1000');
    await node.must('run', '--name', 'red', '--label', 'colour=red', testImage, 'true');
    assert.equal(
      await node
        .must('ps', '-a', '-q', '--filter', 'label=colour=red', '--filter', 'status=exited')
        .then((text) => text.split('\n').length),
      1,
    );
    assert.equal(
      await node.must('ps', '-a', '-q', '--filter', 'status=running').then((text) => text.length),
      12,
    );
    const rows = (await node.must('ps', '-a', '--format', 'json')).trim();
    assert.match(rows, /blue/);
    assert.match(rows, /red/);
    assert.match(await node.must('ps'), /^CONTAINER ID\s+IMAGE\s+COMMAND\s+CREATED\s+STATUS/);
  });

  test('rm refuses a running container and -f removes it', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'busy', testImage, 'sleep', '1000');
    const refused = await node.gantry(['rm', 'busy']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /busy/);
    await node.must('rm', '-f', 'busy');
    assert.equal(await node.must('ps', '-a', '-q'), '');
  });

  test('events tell the life of a container in order', async () => {
    const node = getNode();
    const since = String(Math.floor(Date.now() / 1000) - 1);
    await node.must('run', '--rm', '--name', 'story', testImage, 'true');
    const text = await eventually('all events came', async () => {
      const told = await node.must(
        'events',
        '--since',
        since,
        '--until',
        String(Math.ceil(Date.now() / 1000)),
        '--filter',
        'container=story',
      );
      return /destroy/.test(told) && told;
    });
    const actions = [...text.matchAll(/container (\w+)/g)].map((match) => match[1]);
    const expected = ['create', 'start', 'die', 'destroy'];
    assert.deepEqual(
      actions.filter((action) => expected.includes(action ?? '')),
      expected,
    );
  });
});
