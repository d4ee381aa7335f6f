import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeOnNode, runCommand, testImage } from '@gantry/test-harness';

/** Words after "gantry", the exit code, and what the one sentence must hold. */
const cases: readonly (readonly [title: string, words: readonly string[], code: number, sentence: RegExp])[] =
  [
    ['an unknown image', ['run', '--pull', 'never', 'no.such/image:1'], 125, /no\.such\/image:1/],
    ['an unreachable registry', ['pull', '127.0.0.1:1/a/b:1'], 1, /127\.0\.0\.1:1/],
    ['an unreachable registry, on run', ['run', '127.0.0.1:1/a/b:1'], 125, /127\.0\.0\.1:1/],
    ['a malformed reference', ['pull', 'UPPER CASE'], 1, /UPPER CASE/],
    ['a command that does not exist', ['run', '--rm', testImage, 'no-such-command'], 127, /no-such-command/],
    ['a command that cannot be executed', ['run', '--rm', testImage, '/etc/passwd'], 126, /\/etc\/passwd/],
    ['a directory as command', ['run', '--rm', testImage, '/etc'], 126, /\/etc/],
    ['a memory limit that is no number', ['run', '--memory', 'lots', testImage], 125, /lots/],
    ['a memory limit below the least', ['run', '--memory', '1m', testImage, 'true'], 125, /memory/i],
    ['a number of cpus that is no number', ['run', '--cpus', 'two', testImage], 125, /two/],
    ['a cpu that is not there', ['run', '--cpuset-cpus', '999', testImage, 'true'], 125, /999/],
    ['a port that is no number', ['run', '-p', 'http:80', testImage], 125, /http/],
    ['a port out of range', ['run', '-p', '70000:80', testImage], 125, /70000/],
    ['an unknown network', ['run', '--network', 'nowhere', testImage], 125, /nowhere/],
    ['an unknown container to join', ['run', '--network', 'container:nobody', testImage], 125, /nobody/],
    ['an unknown user', ['run', '--rm', '-u', 'stranger', testImage, 'true'], 125, /stranger/],
    ['an unknown capability', ['run', '--cap-add', 'FLY', testImage], 125, /FLY/],
    ['an unknown restart policy', ['run', '--restart', 'sometimes', testImage], 125, /sometimes/],
    ['an unknown signal', ['run', '--stop-signal', 'SIGNOTHING', testImage, 'true'], 125, /SIGNOTHING/],
    [
      'a bind mount of nothing',
      ['run', '--mount', 'type=bind,source=/no/such/dir,target=/x', testImage, 'true'],
      125,
      /\/no\/such\/dir/,
    ],
    [
      'a file of variables that is not there',
      ['run', '--env-file', '/no/such/env', testImage],
      125,
      /\/no\/such\/env/,
    ],
    ['a relative mount target', ['run', '-v', '/tmp:relative', testImage, 'true'], 125, /relative/],
    ['a name with forbidden letters', ['run', '--name', 'a/b', testImage, 'true'], 125, /a\/b/],
    ['an unknown container', ['stop', 'nobody'], 1, /nobody/],
    ['an unknown container to inspect', ['inspect', 'nobody'], 1, /nobody/],
    ['an unknown container to explain', ['explain', 'nobody'], 1, /nobody/],
    ['an unknown container to exec in', ['exec', 'nobody', 'true'], 1, /nobody/],
    ['an unknown image to remove', ['rmi', 'no.such/image:1'], 1, /no\.such\/image:1/],
    ['an unknown volume', ['volume', 'rm', 'nothing'], 1, /nothing/],
    ['a file that is not there to load', ['load', '-i', '/no/such/file.tar'], 1, /\/no\/such\/file\.tar/],
    ['an unknown filter', ['ps', '--filter', 'colour=blue'], 1, /colour/],
  ];

describeOnNode('wrong input gets one clear sentence, the right exit code, and leaves nothing', (getNode) => {
  for (const [title, words, code, sentence] of cases) {
    test(title, async () => {
      const ended = await getNode().gantry(words);
      assert.match(ended.stderr, sentence);
      assert.equal(ended.code, code, ended.stderr);
      const lines = ended.stderr.trim().split('\n');
      assert.ok(lines.length <= 2, `more than a sentence: ${ended.stderr}`);
      assert.doesNotMatch(ended.stderr, /\bat .*\.m?js:\d+|undefined|\[object/);
    });
  }

  test('a name that is taken is refused with the name', async () => {
    const node = getNode();
    await node.must('create', '--name', 'taken', testImage, 'true');
    const { code, stderr } = await node.gantry(['create', '--name', 'taken', testImage, 'true']);
    assert.equal(code, 1);
    assert.match(stderr, /taken/);
  });

  test('a file that is no archive is refused with its name', async () => {
    const node = getNode();
    const file = join(node.directory, 'nonsense.tar');
    writeFileSync(file, 'this is no archive'.repeat(100));
    const { code, stderr } = await node.gantry(['load', '-i', file]);
    assert.equal(code, 1);
    assert.match(stderr, /nonsense\.tar|archive/);
  });

  test('a gantry that is not running is named, with what to do', async () => {
    const { code, stderr } = await getNode().gantry(['ps'], {
      environment: { GANTRY_HOST: 'unix:///no/such/api.sock', GANTRY_RUN_DIR: '/no/such', GANTRY_CONFIG: '' },
    });
    assert.equal(code, 1);
    assert.match(stderr, /\/no\/such\/api\.sock/);
    assert.match(stderr, /gantry up/);
  });

  test('somebody who is not root and not of the group is told so', async () => {
    const node = getNode();
    const { code, stderr } = await runCommand('setpriv', [
      '--reuid',
      '65534',
      '--regid',
      '65534',
      '--clear-groups',
      'env',
      'PATH=/usr/bin:/bin',
      'true',
    ]);
    assert.equal(code, 0, stderr);
    const asNobody = await runCommand(
      'setpriv',
      ['--reuid', '65534', '--regid', '65534', '--clear-groups', ...gantryWords('ps')],
      {
        environment: node.environment,
      },
    );
    assert.equal(asNobody.code, 1);
    assert.match(asNobody.stderr, /permission|root/);
  });

  test('gantryd started by somebody who is not root says that it must be', async () => {
    const { code, stderr } = await runCommand('setpriv', [
      '--reuid',
      '65534',
      '--regid',
      '65534',
      '--clear-groups',
      ...gantryWords('up'),
    ]);
    assert.notEqual(code, 0);
    assert.match(stderr, /root/);
  });
});

function gantryWords(...words: readonly string[]): string[] {
  return [new URL('../../../bin/gantry', import.meta.url).pathname, ...words];
}
