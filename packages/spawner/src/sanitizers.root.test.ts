import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeKernelSettings } from './kernel-settings.js';
import { PlanWriter } from './plan-format.js';
import { writeProcess } from './process-plan.js';
import { skipUnlessRoot, specOf } from './spawner-fixture.js';

const run = promisify(execFile);
const nativeSource = fileURLToPath(new URL('../native/', import.meta.url));
const compiled = (name: string): string => fileURLToPath(new URL(`./${name}.test.js`, import.meta.url));

/** The address sanitizer cannot be in a static program, so the shim has the other alone, which ends it at the first trap. */
const ADDON_FLAGS = '-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1';
const SHIM_FLAGS = '-fsanitize=undefined -fsanitize-undefined-trap-on-error -Wno-error';

let directory = '';

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-sanitizers-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

test(
  'containers and execs start, run and end in the same way under address and undefined-behaviour sanitizers',
  { skip: skipUnlessRoot, timeout: 120_000 },
  async () => {
    const out = join(directory, 'native');
    await run('sh', [join(nativeSource, 'build.sh'), out], {
      env: { ...process.env, GANTRY_ADDON_FLAGS: ADDON_FLAGS, GANTRY_SHIM_FLAGS: SHIM_FLAGS },
    });
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const tests = ['plan-reader.root', 'process.root', 'exec.root', 'container.root'].map(compiled);
    const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', ...tests], {
      maxBuffer: 1 << 24,
      env: {
        ...environment,
        GANTRY_NATIVE_DIR: out,
        LD_PRELOAD: execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
        // Node itself leaves memory to the end of the process.
        ASAN_OPTIONS: 'detect_leaks=0',
      },
    }).catch((error: Error & { stdout?: string }) => {
      throw new Error(`the tests fail under the sanitizers:\n${error.stdout?.slice(-8000)}`, {
        cause: error,
      });
    });
    assert.match(stdout, /^# fail 0$/m);
    assert.ok(Number(/^# pass (\d+)$/m.exec(stdout)?.[1]) > 30, 'the tests were run');
  },
);

test(
  'damaged plans, broken output and hostile paths are read without a byte out of bounds',
  { timeout: 60_000 },
  async () => {
    const program = join(directory, 'readers');
    const parts = ['hosted/readers.c', 'shim/plan.c', 'shim/log.c', 'shim/json_text.c', 'shim/targets.c'];
    await run('gcc', [
      ...['-std=gnu11', '-O1', '-g', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'],
      ...['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
      ...parts.map((part) => join(nativeSource, part)),
      ...['-o', program],
    ]);
    const plan = new PlanWriter();
    const spec = specOf(['sh', '-c', 'true'], { linux: { sysctl: { 'net.core.somaxconn': '1' } } });
    writeKernelSettings(plan, spec, { own: ~0n, created: ~0n }, false);
    writeProcess(plan, spec.process ?? { user: { uid: 0, gid: 0 }, cwd: '/' }, undefined, {});
    writeFileSync(join(directory, 'plan'), plan.finish());
    for (const seed of [1, Date.now()]) {
      const cwd = join(directory, `seed-${seed}`);
      mkdirSync(cwd);
      const { stdout } = await run(program, ['../plan', String(seed), '40000'], { cwd }).catch(
        (error: Error & { stderr?: string }) => {
          throw new Error(`with seed ${seed}:\n${error.stderr}`, { cause: error });
        },
      );
      const readable = Number(/^(\d+) of/.exec(stdout)?.[1]);
      assert.ok(readable > 0 && readable < 40_000, stdout);
    }
  },
);
