/**
 * A process that opens a store and pulls, to be killed, starved of disk or measured:
 * `pull-child.js STATE_DIR REFERENCE...`. Prints one line of JSON.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { asGantryError } from '@gantry/protocol';
import { ImageStore } from '../image-store.js';

const [stateDir = '', ...references] = process.argv.slice(2);
const store = await ImageStore.open({ state_dir: stateDir, run_dir: stateDir, insecure_registries: [] });
process.stderr.write('opened\n');
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const before = performance.eventLoopUtilization();
const started = performance.now();
let failure: { code: string; message: string } | undefined;
try {
  const options = { signal: new AbortController().signal, onProgress: (): void => undefined };
  await Promise.all(
    references.map((reference) =>
      store.pull({ reference, platform: '', policy: '', credentials: undefined }, options),
    ),
  );
} catch (error) {
  const { code, message } = asGantryError(error, 'pull');
  failure = { code, message };
}
const milliseconds = performance.now() - started;
const { active } = performance.eventLoopUtilization(before);
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
console.log(
  JSON.stringify({
    failure,
    milliseconds,
    loopActiveMs: active,
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
    userCpuMs: userCPUTime / 1e3,
    systemCpuMs: systemCPUTime / 1e3,
    maxRssBytes: maxRSS * 1024,
  }),
);
