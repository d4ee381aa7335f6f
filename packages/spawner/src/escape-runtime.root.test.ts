import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isGantryError } from '@gantry/protocol';
import { DirectLauncher, readStartTicks } from './direct-launcher.js';
import { type Attacker, attackers, EscapeFixture, processBy } from './escape-fixture.js';
import { compileExec } from './exec-plan.js';
import { loadNative, nativeDirectory } from './native.js';
import { newId, skipUnlessRoot } from './spawner-fixture.js';
import type { Container } from './spawner.js';
import { plainCaller } from './supervision-fixture.js';

// Ways out through the runtime itself: its program, its descriptors, its working directory, its processes.

const options = { skip: skipUnlessRoot, timeout: 120_000 };
const DESCRIPTORS = 28;
const PID_AND_MOUNT_NAMESPACES = 0x20000000n | 0x00020000n;
let fixture: EscapeFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await EscapeFixture.make();
});
after(async () => fixture?.remove());

const kinds = Object.keys(attackers) as Attacker[];

/** An exec by a caller that watches by itself: nothing runs the program any more once the command has ended. */
async function execDirectly(pid: number, command: string): Promise<void> {
  const directory = fixture.base.makeDirectory(`direct-${newId().slice(0, 8)}`);
  const plan = compileExec({
    state: { ociVersion: '1.3.0', id: 'escape', bundle: '/' },
    process: processBy('rootful', [command, '--version']),
    directory,
    target: { pid, startTicks: readStartTicks(pid), namespaces: PID_AND_MOUNT_NAMESPACES },
    cgroups: [],
    seccomp: undefined,
    noNewPrivileges: false,
    supervision: plainCaller,
  });
  const launch = { plan, directory, label: 'direct', preservedDescriptors: 0, timeoutMs: 20_000 };
  const launched = await new DirectLauncher(loadNative()).launch(launch);
  if (!launched.ok) assert.fail(JSON.stringify(launched.failure));
  await launched.process.ended();
}

for (const [kind, command] of [
  ['command', '/proc/self/exe'],
  ['interpreter', '/bin/as-script'],
] as const)
  test(
    `the runtime, started as the ${kind} of an exec, can be held by the container and is not written to (CVE-2019-5736)`,
    options,
    async () => {
      const image = fixture.image(`overwrite-${kind}`);
      writeFileSync(join(image, 'bin/as-script'), '#!/proc/self/exe\n', { mode: 0o755 });
      const program = readFileSync(join(nativeDirectory(), 'gantry-shim'));
      const ways = {
        // The shims of the service run from it as well.
        service: async (container: Container) => {
          const process = processBy('rootful', [command, '--version']);
          await (
            await fixture.base.exec(container.id, process)
          ).exec.exited;
        },
        caller: (container: Container) => execDirectly(container.main.start.pid, command),
      };
      for (const [way, exec] of Object.entries(ways)) {
        const container = await fixture.start('rootful', fixture.specBy('rootful', ['sleep', '600']), image);
        const attack = fixture.exec(container.id, processBy('rootful', ['attacker', 'overwrite', '10']));
        // One of them meets the attack.
        const over = attack.then(() => true);
        while (!(await Promise.race([over, delay(20, false)]))) await exec(container);
        const { output } = await attack;
        assert.equal(
          output,
          way === 'service'
            ? 'held\nopen ETXTBSY\ndone\n'
            : 'held\nopen good\nwrite EPERM\ntruncate EPERM\ndone\n',
          way,
        );
        container.main.signal(9);
        await container.main.exited;
      }
      assert.deepEqual(readFileSync(join(nativeDirectory(), 'gantry-shim')), program);
    },
  );

for (const kind of kinds) {
  test(
    `no descriptor serves ${attackers[kind]} as a working directory outside (CVE-2024-21626)`,
    options,
    async () => {
      const holder = await fixture.start(kind, fixture.specBy(kind, ['sleep', '600']));
      const look = ['sh', '-c', `pwd; ls ../../../../../../../../../..${fixture.marker} && echo escaped`];
      let entered = 0;
      const refused = (error: unknown) =>
        isGantryError(error, 'invalid_argument') || isGantryError(error, 'failed_precondition');
      for (let number = 0; number < DESCRIPTORS; number++) {
        for (const cwd of [`/proc/self/fd/${number}`, `/proc/self/fd/${number}/../..`]) {
          const spec = fixture.specBy(kind, look);
          const process = { ...processBy(kind, look), cwd };
          await assert.rejects(fixture.run(kind, { ...spec, process }), refused, cwd);
          try {
            const { output } = await fixture.exec(holder.id, process);
            entered++;
            assert.doesNotMatch(output, /^escaped$/m, cwd);
            assert.match(output, /^\//, cwd);
          } catch (error) {
            if (!refused(error)) throw error;
          }
        }
      }
      assert.ok(entered < DESCRIPTORS);
      holder.main.signal(9);
    },
  );

  test(
    `no descriptor leads ${attackers[kind]} to a command of the host's (CVE-2024-21626)`,
    options,
    async () => {
      const script = fixture.base.makeDirectory('host-programs');
      const program = join(script, 'evil');
      writeFileSync(program, '#!/bin/sh\necho escaped\n', { mode: 0o755 });
      const holder = await fixture.start(kind, fixture.specBy(kind, ['sleep', '600']));
      const refused = (error: unknown) =>
        isGantryError(error, 'not_found') || isGantryError(error, 'permission_denied');
      for (let number = 0; number < DESCRIPTORS; number++) {
        const command = `/proc/self/fd/${number}/../../../../../../../../..${program}`;
        await assert.rejects(fixture.run(kind, fixture.specBy(kind, [command])), refused, command);
        await assert.rejects(fixture.exec(holder.id, processBy(kind, [command])), refused, command);
      }
      holder.main.signal(9);
    },
  );

  test(`${attackers[kind]} finds nothing open but its stdio`, options, async () => {
    const list = ['sh', '-c', 'echo /proc/$$/fd/*'];
    const { stdout, container } = await fixture.run(kind, fixture.specBy(kind, list));
    const own = /^\/proc\/\d+\/fd\/0 \/proc\/\d+\/fd\/1 \/proc\/\d+\/fd\/2( \/proc\/\d+\/fd\/\d+)?$/;
    assert.match(stdout.trim(), own);
    assert.equal(container.main.exit?.exitCode, 0);
    const holder = await fixture.start(kind, fixture.specBy(kind, ['sleep', '600']));
    assert.match((await fixture.exec(holder.id, processBy(kind, list))).output.trim(), own);
    holder.main.signal(9);
  });

  test(
    `${attackers[kind]} cannot trace, read or take anything of a process that is coming in`,
    options,
    async () => {
      const holder = await fixture.start(kind, fixture.specBy(kind, ['sleep', '600']));
      const attack = fixture.exec(holder.id, processBy(kind, ['attacker', 'watch', '3', fixture.marker]));
      const end = Date.now() + 2800;
      while (Date.now() < end) await fixture.exec(holder.id, processBy(kind, ['true']));
      const { output } = await attack;
      assert.doesNotMatch(output, /escaped/);
      const denied = Number(/^denied (\d+)$/m.exec(output)?.[1] ?? 0);
      assert.ok(denied > 0, 'the attack saw processes on their way in');
      holder.main.signal(9);
    },
  );

  test(`${attackers[kind]} reaches no process outside with a signal`, options, async () => {
    const holder = await fixture.start(
      kind,
      fixture.specBy(kind, ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done']),
    );
    const bystander = await fixture.start(kind, fixture.specBy(kind, ['sleep', '600']));
    for (const script of [
      'kill -9 -1',
      'kill -9 0',
      'kill -9 $PPID',
      'for p in $(seq 1 400); do kill -9 $p; done',
    ]) {
      const { exec } = await fixture.base.exec(
        holder.id,
        processBy(kind, ['sh', '-c', `${script}; kill -9 $$`]),
      );
      const exit = await exec.exited;
      assert.deepEqual([exit.signal, exit.lost], [9, false], script);
    }
    assert.equal(holder.main.exit, undefined);
    assert.equal(bystander.main.exit, undefined);
    const { output } = await fixture.exec(
      holder.id,
      processBy(kind, ['sh', '-c', 'grep -l gantry-shim /proc/[0-9]*/comm; grep PPid /proc/1/status']),
    );
    assert.equal(output, 'PPid:\t0\n');
    for (const { main } of [holder, bystander]) main.signal(9);
    assert.equal((await holder.main.exited).lost, false);
  });
}
