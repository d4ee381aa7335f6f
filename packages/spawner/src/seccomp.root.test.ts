import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DEFAULT_CAPABILITIES, defaultSeccomp, type RuntimeSeccomp, type SeccompAction } from '@gantry/oci';
import { loadNative } from './native.js';
import { supportedSeccompFlags } from './seccomp.js';
import { skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';

const options = { skip: skipUnlessRoot };
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(() => fixture?.remove());

function run(script: string, seccomp: RuntimeSeccomp, noNewPrivileges = true) {
  return fixture.run(specOf(['sh', '-c', script], { linux: { seccomp } }, { noNewPrivileges }));
}

/** Everything is allowed but mkdir, whatever its name on this architecture. */
function onMkdir(
  action: SeccompAction,
  more: Partial<RuntimeSeccomp> = {},
  errnoRet?: number,
): RuntimeSeccomp {
  const rule = { names: ['mkdir', 'mkdirat'], action, ...(errnoRet === undefined ? {} : { errnoRet }) };
  return { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule], ...more };
}

test('the kernel does what each action says', options, async () => {
  const script = 'mkdir /tmp/x; echo $?';
  assert.match(
    (await run(script, onMkdir('SCMP_ACT_ERRNO', {}, 5))).stderr,
    /Input\/output error|I\/O error/,
  );
  assert.match((await run(script, onMkdir('SCMP_ACT_ERRNO'))).stderr, /Operation not permitted/);
  // Nobody traces: the call fails as one that is not there.
  assert.match((await run(script, onMkdir('SCMP_ACT_TRACE', {}, 7))).stderr, /not implemented/);
  for (const [action, status] of [
    ['SCMP_ACT_LOG', '0'],
    ['SCMP_ACT_ALLOW', '0'],
    ['SCMP_ACT_TRAP', '159'],
    ['SCMP_ACT_KILL', '159'],
    ['SCMP_ACT_KILL_THREAD', '159'],
    ['SCMP_ACT_KILL_PROCESS', '159'],
  ] as const)
    assert.equal(
      (await run('/bin/busybox mkdir /tmp/x; echo $?', onMkdir(action))).stdout.trim(),
      status,
      action,
    );
});

test('every flag that is said to be supported loads, with no_new_privs and without', options, async () => {
  const flags = supportedSeccompFlags(loadNative());
  for (const noNewPrivileges of [true, false]) {
    const { stdout } = await run(
      'grep Seccomp: /proc/self/status',
      onMkdir('SCMP_ACT_ERRNO', { flags }),
      noNewPrivileges,
    );
    assert.match(stdout, /Seccomp:\s+2/);
  }
});

test('from inside the default profile: no mounts, no namespaces, and a program runs', options, async () => {
  const profile = defaultSeccomp(DEFAULT_CAPABILITIES, process.arch === 'arm64' ? 'arm64' : 'x64');
  const { stdout, stderr } = await run(
    'mount -t tmpfs none /tmp || echo no mount; unshare -U true || echo no user namespace; unshare -m true || echo no mount namespace; ls / >/dev/null && echo ran',
    profile,
  );
  assert.equal(stdout, 'no mount\nno user namespace\nno mount namespace\nran\n', stderr);
});
