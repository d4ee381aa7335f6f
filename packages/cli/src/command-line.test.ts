import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryUnderTest, startScriptedNode, type ScriptedNode } from './testing/command-line.js';
import { version } from './version.js';

let node: ScriptedNode;
let gantry: GantryUnderTest;
let directory: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-cli-'));
  node = await startScriptedNode();
  gantry = new GantryUnderTest(node.runDirectory);
});
after(async () => {
  await node.stop();
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  const { stdout } = await gantry.run(['ps', '-aq', '--no-trunc']);
  const ids = stdout.split('\n').filter((id) => id !== '');
  if (ids.length > 0) await gantry.run(['rm', '-f', ...ids]);
});

test('the version is the one of the package', async () => {
  const { version: packaged } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  assert.equal(version, packaged);
  assert.deepEqual(await gantry.run(['--version']), { exitCode: 0, stdout: `${packaged}\n`, stderr: '' });
});

test("run ends with the container's own exit code and keeps its output streams apart", async () => {
  assert.deepEqual(await gantry.run(['run', '--rm', 'demo:1', 'both']), {
    exitCode: 0,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  assert.equal((await gantry.run(['run', '--rm', 'demo:1', 'fail', '42'])).exitCode, 42);
  assert.equal((await gantry.run(['ps', '-aq'])).stdout, '');
});

test('words behind the image are the command, whatever they look like', async () => {
  assert.equal(
    (await gantry.run(['run', '--rm', 'demo:1', 'echo', '-d', '--rm', '--name=x'])).stdout,
    '-d --rm --name=x\n',
  );
});

test('standard input reaches the container when it is piped', async () => {
  const { exitCode, stdout } = await gantry.run(['run', '--rm', '-i', 'demo:1', 'cat'], 'hello\nthere\n');
  assert.deepEqual([exitCode, stdout], [0, 'hello\nthere\n']);
  const large = 'x'.repeat(3_000_000);
  assert.equal((await gantry.run(['run', '--rm', '-i', 'demo:1', 'cat'], large)).stdout.length, large.length);
});

test('a program that is not there is 127, one that may not be executed 126, what gantry refuses 125', async () => {
  const absent = await gantry.run(['run', '--name', 'x', '--rm', 'demo:1', 'absent']);
  assert.deepEqual(
    [absent.exitCode, absent.stderr],
    [127, 'gantry run: exec absent: no such file or directory\n'],
  );
  assert.equal((await gantry.run(['run', '--rm', 'demo:1', 'forbidden'])).exitCode, 126);
  assert.equal((await gantry.run(['ps', '-aq'])).stdout, '');
  for (const words of [
    ['--memory', 'lots', 'demo:1'],
    ['--bad', 'demo:1'],
    [],
    ['gone:1'],
    ['--pull', 'never', 'gone:1'],
  ])
    assert.equal((await gantry.run(['run', ...words])).exitCode, 125, words.join(' '));
});

test('a missing image is pulled; one that no registry has is one sentence', async () => {
  const pulled = await gantry.run(['run', '--rm', 'registry/app:2', 'echo', 'hi']);
  assert.deepEqual([pulled.exitCode, pulled.stdout], [0, 'hi\n']);
  assert.match(pulled.stderr, /image registry\/app:2 is not here: pulling it\n.*Complete/);
  const gone = await gantry.run(['run', 'gone:1']);
  assert.match(gone.stderr, /gantry run: the registry has no image gone:1\n$/);
  const late = await gantry.run(['pull', 'broken/app:1']);
  assert.deepEqual(
    [late.exitCode, late.stderr],
    [1, 'gantry pull: a layer of broken/app:1 does not match its digest\n'],
  );
});

test('signals go to the container, whose exit code tells what they did', async () => {
  const child = gantry.start(['run', '--rm', 'demo:1', 'sleep']);
  await once(child.stdout, 'data');
  child.kill('SIGUSR1');
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(line.toString(), 'usr1\n');
  child.kill('SIGINT');
  assert.equal((await child.finished).exitCode, 130);
  const other = gantry.start(['run', 'demo:1', 'sleep']);
  await once(other.stdout, 'data');
  other.kill('SIGTERM');
  assert.equal((await other.finished).exitCode, 143);
});

test('a restart of gantry costs neither output nor exit code', async () => {
  const child = gantry.start(['run', '--name', 'ticking', 'demo:1', 'ticks', '80']);
  await once(child.stdout, 'data');
  const waiting = gantry.start(['wait', 'ticking']);
  // Time enough to be connected on a busy machine; the container ticks for four seconds.
  await sleep(1_500);
  node.restartApi();
  const { exitCode, stdout, stderr } = await child.finished;
  assert.match(stderr, /the connection was lost; waiting for gantry[^\n]*\n$/);
  assert.equal(stdout, Array.from({ length: 80 }, (_, index) => `tick ${index + 1}\n`).join(''));
  assert.equal(exitCode, 5);
  assert.deepEqual(await waiting.finished, { exitCode: 0, stdout: '5\n', stderr: '' });
});

test('a signal during a pull ends it and leaves no container', async () => {
  const child = gantry.start(['pull', 'slow/app:1']);
  await sleep(400);
  child.kill('SIGINT');
  await child.finished;
  const running = gantry.start(['run', '--cidfile', join(directory, 'slow'), 'slow/app:1']);
  while (!existsSync(join(directory, 'slow'))) await sleep(10);
  running.kill('SIGINT');
  assert.equal((await running.finished).exitCode, 130);
  assert.ok(!existsSync(join(directory, 'slow')));
  assert.equal((await gantry.run(['ps', '-aq'])).stdout, '');
});

test('a reader that leaves ends the command without a word', async () => {
  await gantry.run(['run', '--name', 'flood', '-d', 'demo:1', 'flood', '4']);
  const child = gantry.start(['logs', 'flood']);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const { exitCode, stderr } = await child.finished;
  assert.deepEqual([exitCode, stderr], [141, '']);
});

test('a detached container is listed, inspected, logged, executed in, stopped and removed', async () => {
  const started = await gantry.run([
    'run',
    '-d',
    '--name',
    'web',
    '-p',
    '8080:80',
    '-l',
    'a=b',
    'demo:1',
    'sleep',
  ]);
  assert.match(started.stdout, /^[0-9a-f]{64}\n$/);
  const table = (await gantry.run(['ps'])).stdout.split('\n');
  assert.match(table[0] ?? '', /^CONTAINER ID {3}IMAGE {4}COMMAND {3}CREATED +STATUS +PORTS +NAMES$/);
  assert.match(table[1] ?? '', /^[0-9a-f]{12} {3}demo:1 {3}"sleep" .*0\.0\.0\.0:8080->80\/tcp {3}web$/);
  assert.equal((await gantry.run(['ps', '--format', '{{.Names}} {{.State}}'])).stdout, 'web running\n');
  assert.equal(
    (JSON.parse((await gantry.run(['ps', '--format', 'json'])).stdout) as { Labels: string }).Labels,
    'a=b',
  );
  assert.equal(
    (
      await gantry.run([
        'inspect',
        '-f',
        '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
        'web',
      ])
    ).stdout,
    '42 10.88.0.2\n',
  );
  assert.equal((await gantry.run(['port', 'web', '80'])).stdout, '0.0.0.0:8080\n');
  assert.equal((await gantry.run(['port', 'web'])).stdout, '80/tcp -> 0.0.0.0:8080\n');
  assert.equal((await gantry.run(['logs', 'web'])).stdout, 'ready\n');
  assert.match((await gantry.run(['logs', '-t', 'web'])).stdout, /^\d{4}-.*Z ready\n$/);
  assert.deepEqual(await gantry.run(['exec', 'web', 'echo', '-n', 'x']), {
    exitCode: 0,
    stdout: '-n x\n',
    stderr: '',
  });
  assert.equal((await gantry.run(['exec', '-i', 'web', 'cat'], 'in')).stdout, 'in');
  assert.equal((await gantry.run(['exec', 'web', 'fail', '9'])).exitCode, 9);
  assert.equal((await gantry.run(['exec', 'web', 'absent'])).exitCode, 127);
  assert.equal((await gantry.run(['top', 'web'])).stdout, 'PID   CMD\n1     sleep\n');
  assert.equal(
    (await gantry.run(['explain', 'web'])).stdout,
    'Namespaces\n  pid  4026531836  host 4026531835\n',
  );
  assert.match(
    (await gantry.run(['stats', '--no-stream'])).stdout,
    /web {4}12\.50% {3}512B \/ 1KiB {9}50\.00%/,
  );
  const waiting = gantry.start(['wait', 'web']);
  await sleep(200);
  assert.deepEqual(await gantry.run(['stop', 'web']), { exitCode: 0, stdout: 'web\n', stderr: '' });
  assert.equal((await waiting.finished).stdout, '143\n');
  assert.equal((await gantry.run(['rm', 'web', 'nobody'])).exitCode, 1);
  assert.equal((await gantry.run(['ps', '-aq'])).stdout, '');
});

test('start can attach, and ends with the exit code', async () => {
  await gantry.run(['create', '--name', 'later', '-i', 'demo:1', 'cat']);
  assert.deepEqual(await gantry.run(['start', '-ai', 'later'], 'typed'), {
    exitCode: 0,
    stdout: 'typed',
    stderr: '',
  });
  await gantry.run(['create', '--name', 'failing', 'demo:1', 'fail', '6']);
  assert.equal((await gantry.run(['start', '-a', 'failing'])).exitCode, 6);
  assert.equal((await gantry.run(['start', 'failing'])).stdout, 'failing\n');
});

test('a thing that is not there is one sentence with its name, exit code 1', async () => {
  for (const words of [
    ['logs', 'nobody'],
    ['stop', 'nobody'],
    ['exec', 'nobody', 'sh'],
    ['rm', 'nobody'],
    ['attach', 'nobody'],
  ]) {
    const { exitCode, stderr } = await gantry.run(words);
    assert.deepEqual([exitCode, stderr], [1, `gantry ${words[0]}: there is no container nobody\n`]);
  }
  const unknown = await gantry.run(['inspect', 'nobody']);
  assert.deepEqual(
    [unknown.exitCode, unknown.stdout, unknown.stderr],
    [1, '[]\n', 'gantry inspect: there is no container or image nobody\n'],
  );
  assert.equal((await gantry.run(['rm', '-f', 'nobody'])).exitCode, 0);
});

test('images are loaded from files, pipes and directories, listed, tagged and removed', async () => {
  const archive = join(directory, 'image.tar');
  writeFileSync(archive, 'an archive');
  assert.deepEqual(await gantry.run(['load', '-i', archive]), {
    exitCode: 0,
    stdout: 'Loaded image: loaded:1\n',
    stderr: '',
  });
  assert.equal((await gantry.run(['load'], 'an archive')).stdout, 'Loaded image: loaded:1\n');
  const layout = join(directory, 'layout');
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(layout, 'oci-layout'), '{}');
  assert.equal((await gantry.run(['load', '-i', layout])).exitCode, 0);
  const hostile = await gantry.run(['load'], 'hostile');
  assert.deepEqual(
    [hostile.exitCode, hostile.stderr],
    [1, 'gantry load: the archive holds an absolute name /etc/passwd\n'],
  );
  assert.match(
    (await gantry.run(['load', '-i', '/nowhere'])).stderr,
    /--input: \/nowhere cannot be read: there is no such file/,
  );
  assert.match((await gantry.run(['images'])).stdout, /loaded +1 +[0-9a-f]{12} .*1\.23MB/);
  await gantry.run(['tag', 'loaded:1', 'other:2']);
  assert.equal(
    (await gantry.run(['images', '--format', '{{.Repository}}:{{.Tag}}', 'other'])).stdout,
    'other:2\n',
  );
  assert.equal((await gantry.run(['rmi', 'other:2'])).stdout, 'Untagged: other:2\n');
  assert.equal(
    (JSON.parse((await gantry.run(['inspect', 'loaded:1'])).stdout) as { Architecture: string }[])[0]
      ?.Architecture,
    'amd64',
  );
});

test('volumes, events, disk space and the node are shown', async () => {
  assert.equal((await gantry.run(['volume', 'create', 'data'])).stdout, 'data\n');
  assert.equal((await gantry.run(['volume', 'ls', '-q'])).stdout, 'data\n');
  assert.equal((await gantry.run(['volume', 'rm', 'data'])).stdout, 'data\n');
  assert.equal((await gantry.run(['volume', 'rm', 'data'])).exitCode, 1);
  const events = gantry.start(['events']);
  const [line] = (await once(events.stdout, 'data')) as [Buffer];
  assert.match(line.toString(), /^2023-11-14T22:13:20\.0{9}Z container start c1 \(name=web\)\n$/);
  events.kill('SIGINT');
  await events.finished;
  assert.match(
    (await gantry.run(['system', 'df'])).stdout,
    /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +\d+ +0 +1MB/,
  );
  assert.equal((await gantry.run(['system', 'prune'], 'n\n')).exitCode, 1);
  assert.match((await gantry.run(['system', 'prune', '-f'])).stdout, /Total reclaimed space: 5MB/);
  const info = JSON.parse((await gantry.run(['info', '--format', 'json'])).stdout) as {
    services: { metricsUrl: string }[];
  };
  assert.ok(info.services.every(({ metricsUrl }) => metricsUrl.startsWith('http://127.0.0.1:')));
});

test('a node that does not run, and a socket that is not ours to use, are one sentence each', async () => {
  const nowhere = await new GantryUnderTest('/nowhere').run(['ps']);
  assert.deepEqual(nowhere, {
    exitCode: 1,
    stdout: '',
    stderr:
      'gantry ps: gantry is not running on this node: no answer at unix:///nowhere/api.sock; start it with `gantry up`\n',
  });
  assert.equal((await new GantryUnderTest('/nowhere').run(['run', 'x'])).exitCode, 125);
  const bad = await gantry.run(['--host', 'ftp://1.2.3.4', 'ps']);
  assert.match(bad.stderr, /host "ftp:\/\/1\.2\.3\.4" is not of the form unix:/);
  assert.equal(
    (await gantry.run(['--host', `unix://${node.runDirectory}/api.sock`, 'ps', '-q'])).exitCode,
    0,
  );
});

test('a terminal reaches the container, is given back, and can be left with its keys', async () => {
  const size = await gantry.runOnTerminal(['run', '--rm', '-t', 'demo:1', 'size'], '', 'never');
  assert.match(size.stdout, /^33x77\r\n/);
  const left = await gantry.runOnTerminal(
    ['run', '--name', 'left', '-it', 'demo:1', 'sleep'],
    'abc\x10\x11',
    'ready',
    '; echo code $?; stty',
  );
  assert.match(left.stdout, /code 0/);
  // As a login shell has it: neither raw nor silent.
  assert.doesNotMatch(left.stdout, /-echo|-icanon|-opost/);
  assert.equal((await gantry.run(['ps', '--format', '{{.Names}}'])).stdout, 'left\n');
  const refused = await gantry.run(['run', '-it', 'demo:1', 'cat'], '');
  assert.deepEqual(
    [refused.exitCode, refused.stderr],
    [125, 'gantry run: standard input is no terminal: leave out -t, or -i\n'],
  );
});

test("docker's flags that are not done are refused by name, unknown ones too", async () => {
  assert.match(
    (await gantry.run(['run', '--gpus', 'all', 'demo:1'])).stderr,
    /flag --gpus is docker's, but gantry does not do it/,
  );
  assert.match((await gantry.run(['ps', '--nonsense'])).stderr, /there is no flag --nonsense/);
  assert.match((await gantry.run(['frobnicate'])).stderr, /there is no verb "frobnicate"/);
  assert.equal((await gantry.run(['run', '--rm=false', '--name', 'kept', 'demo:1', 'echo'])).exitCode, 0);
  assert.equal((await gantry.run(['ps', '-aq', '--format', '{{.Names}}'])).stdout, 'kept\n');
});

test('completion knows verbs, flags and names', async () => {
  await gantry.run(['run', '-d', '--name', 'webby', 'demo:1', 'sleep']);
  assert.equal((await gantry.run(['__complete', '--', 'sto'])).stdout, 'stop\n');
  assert.equal((await gantry.run(['__complete', '--', 'run', '--memory-s'])).stdout, '--memory-swap\n');
  assert.equal((await gantry.run(['__complete', '--', 'stop', 'we'])).stdout, 'webby\n');
  assert.equal((await gantry.run(['__complete', '--', 'volume', 'in'])).stdout, 'inspect\n');
  for (const shell of ['bash', 'zsh', 'fish'])
    assert.match((await gantry.run(['completion', shell])).stdout, /gantry __complete/);
});

test('cidfile is written once and never over another', async () => {
  const file = join(directory, 'id');
  await gantry.run(['run', '-d', '--cidfile', file, 'demo:1', 'sleep']);
  assert.match(readFileSync(file, 'utf8'), /^[0-9a-f]{64}$/);
  assert.match(
    (await gantry.run(['run', '-d', '--cidfile', file, 'demo:1', 'sleep'])).stderr,
    /exists already/,
  );
  const other = join(directory, 'other');
  await gantry.run(['run', '-d', '--cidfile', other, 'gone:1']);
  assert.ok(!existsSync(other));
  chmodSync(file, 0o600);
});
