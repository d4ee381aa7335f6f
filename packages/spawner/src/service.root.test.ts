import assert from 'node:assert/strict';
import { type ChildProcess, spawn as spawnProcess } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { type Bus, type RunningService, startService, type ServiceEnvironment } from '@gantry/bus';
import { type Init, isGantryError, spawn } from '@gantry/protocol';
import { startSpawner } from './main.js';
import { eventually, newId, processOf, skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';

const options = { skip: skipUnlessRoot };
const methods = spawn.Spawner.methods;
let fixture: SpawnerFixture;
let nats: ChildProcess;
let service: RunningService;
let caller: RunningService;
let bus: Bus;
let environment: ServiceEnvironment;
const events: spawn.ProcessExitedEvent[] = [];

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

before(async () => {
  if (skipUnlessRoot !== false) return;
  fixture = await SpawnerFixture.make();
  fixture.spawner.leave();
  const port = await freePort();
  nats = spawnProcess('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  environment = {
    nodeId: 'node1',
    version: '0.0.1',
    natsUrl: `nats://127.0.0.1:${port}`,
    nkeySeed: '',
    metricsHost: '127.0.0.1',
    metricsPort: 0,
    logLevel: 'silent',
  };
  caller = await startService({
    name: 'node-agent',
    environment,
    start: (kit) => {
      bus = kit.bus;
      bus.subscribeEvents('process-exited', spawn.ProcessExitedEventCodec, (event) => events.push(event));
      return Promise.resolve({ handlers: {} });
    },
  });
  service = await startSpawner(environment, { state_dir: fixture.directory, run_dir: fixture.runDirectory });
});

after(async () => {
  if (skipUnlessRoot !== false) return;
  await service?.stop();
  await caller?.stop();
  nats?.kill('SIGKILL');
  await fixture?.restart();
  await fixture?.remove();
});

async function attach(open: Init<spawn.AttachOpen>, inputs: Init<spawn.AttachInput>[] = []) {
  const stream = await bus.openStream(methods.AttachProcess, { open });
  for (const input of inputs) await stream.send(input);
  let [output, exitCode]: [string, number | undefined] = ['', undefined];
  for await (const message of stream) {
    output += Buffer.from(message.stdout ?? message.stderr ?? '').toString();
    exitCode = message.exit?.exitCode ?? exitCode;
  }
  return { output, exitCode };
}

test(
  'a container is started, listed, described, signalled and forgotten through the bus',
  options,
  async () => {
    const request = fixture.request(newId(), specOf(['sleep', '60']));
    const { containerId } = request;
    const started = await bus.call(methods.StartContainer, request);
    assert.deepEqual(await bus.call(methods.StartContainer, request), started, 'a retry returns the same');
    const listed = await bus.call(methods.ListContainers, { pageSize: 10 });
    assert.deepEqual(
      listed.containers.map(({ pid, status }) => [pid, status]),
      [[started.pid, 'running']],
    );
    const facts = await bus.call(methods.DescribeContainer, { containerId });
    assert.equal(facts.namespaces.length, 8);
    await bus.call(methods.SignalContainer, { containerId, signal: 15 });
    await bus.call(methods.SignalContainer, { containerId, signal: 9 });
    await eventually('the exit is published', () =>
      events.some((event) => event.containerId === containerId),
    );
    const { container } = await bus.call(methods.GetContainer, { containerId });
    assert.deepEqual(
      [container?.status, container?.exit?.exitCode, container?.exit?.signal],
      ['exited', 137, 9],
    );
    await bus.call(methods.DeleteContainer, { containerId });
    await assert.rejects(bus.call(methods.GetContainer, { containerId }), (error) =>
      isGantryError(error, 'not_found'),
    );
  },
);

test('attach carries stdin, both streams and the exit', options, async () => {
  const request = fixture.request(newId(), specOf(['sh', '-c', 'cat; exit 6']), {
    openStdin: true,
    stdinOnce: true,
    holdOutput: true,
  });
  await bus.call(methods.StartContainer, request);
  const answer = await attach({ containerId: request.containerId, stdin: true }, [
    { stdin: Buffer.from('there') },
    { stdinEof: true },
  ]);
  assert.deepEqual(answer, { output: 'there', exitCode: 6 });
});

test('an exec is started, attached to and told of', options, async () => {
  const request = fixture.request(newId(), specOf(['sleep', '60']));
  await bus.call(methods.StartContainer, request);
  const { containerId } = request;
  const execId = newId();
  const processJson = Buffer.from(JSON.stringify(processOf(['sh', '-c', 'seq 1 50000; exit 3'])));
  await bus.call(methods.StartExec, { containerId, execId, processJson, holdOutput: true });
  const { output, exitCode } = await attach({ containerId, execId });
  assert.equal(output.split('\n').length, 50001);
  assert.equal(exitCode, 3);
  const known = await bus.call(methods.GetExec, { containerId, execId });
  assert.deepEqual([known.status, known.exit?.exitCode], ['exited', 3]);
  await bus.call(methods.SignalContainer, { containerId, signal: 9 });
});

test('a restarted service lists the same containers and tells missed exits', options, async () => {
  const request = fixture.request(newId(), specOf(['sh', '-c', 'sleep 0.2; exit 8']));
  const { containerId } = request;
  const { pid } = await bus.call(methods.StartContainer, request);
  await service.stop();
  await new Promise((resolve) => setTimeout(resolve, 400));
  service = await startSpawner(environment, { state_dir: fixture.directory, run_dir: fixture.runDirectory });
  const { container } = await bus.call(methods.GetContainer, { containerId });
  assert.deepEqual([container?.pid, container?.exit?.exitCode], [pid, 8]);
  await eventually('the exit is published', () =>
    events.some((event) => event.containerId === containerId && event.exit?.exitCode === 8),
  );
});

test('ids, signals and specs that are none are refused with a sentence', options, async () => {
  const id = newId();
  const refused = (work: Promise<unknown>, message: RegExp) =>
    assert.rejects(work, (error) => isGantryError(error, 'invalid_argument') && message.test(error.message));
  await refused(
    bus.call(methods.StartContainer, { containerId: '../x', attempt: 1 }),
    /^container id "\.\.\/x" is not 64 hex digits$/,
  );
  await refused(
    bus.call(methods.StartContainer, { containerId: id, attempt: 0 }),
    /^attempt 0 is not 1 or more$/,
  );
  await refused(
    bus.call(methods.StartContainer, { containerId: id, attempt: 1, runtimeSpecJson: Buffer.from('{') }),
    /is not a JSON object$/,
  );
  await refused(
    bus.call(methods.StartContainer, { containerId: id, attempt: 1, runtimeSpecJson: Buffer.from('{}') }),
    /^process is missing$/,
  );
  await refused(
    bus.call(methods.StartContainer, {
      containerId: id,
      attempt: 1,
      runtimeSpecJson: Buffer.from('{"process":{"args":5}}'),
    }),
    /./,
  );
  const request = fixture.request(newId(), specOf(['sleep', '60']));
  await bus.call(methods.StartContainer, request);
  await refused(
    bus.call(methods.SignalContainer, { containerId: request.containerId, signal: 65 }),
    /^signal 65 is not from 1 to 64$/,
  );
  await bus.call(methods.SignalContainer, { containerId: request.containerId, signal: 9 });
});

test('the metrics say what was started and how it ended', options, async () => {
  const text = await (await fetch(`${service.metricsUrl}/metrics`)).text();
  assert.match(text, /^gantry_spawner_starts_total\{.*kind="container".*\} \d+$/m);
  assert.match(text, /^gantry_spawner_containers\{.*status="running".*\} \d+$/m);
});
