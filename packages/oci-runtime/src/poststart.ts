import type { RuntimeSpec } from '@gantry/oci';
import { hookFailureText, runHooks } from '@gantry/spawner/runtime';
import type { HeldContainer } from './container-store.js';
import { failure } from './failure.js';
import { destroy, killContainer } from './removal.js';
import type { Runtime } from './runtime.js';
import { stateJson } from './state-json.js';

/** Runs poststart hooks. When one fails the container is stopped and removed, poststop hooks included (runtime-spec, "Lifecycle", step 9). */
export async function runPoststart(runtime: Runtime, held: HeldContainer, spec: RuntimeSpec): Promise<void> {
  const { record } = held;
  if (record === undefined) return;
  const state = { ...stateJson(record, 'running'), status: 'running' as const };
  const [failed] = await runHooks('poststart', spec.hooks?.poststart, state);
  if (failed === undefined) return;
  await killContainer(runtime, record);
  await destroy(runtime, held);
  failure(hookFailureText(failed));
}
