import type { RuntimeHook, RuntimeSpec } from '@gantry/oci';
import type { HookState } from './hook-plan.js';
import { hookFailureText, type LateHookKind, runHooks } from './hooks.js';
import { isPresent } from './refusal.js';
import type { SupervisedProcess } from './supervised-process.js';

/** Hooks that a container of the service still has before it, and what they are told; kept in its attempt's record. */
export interface LateHooks {
  readonly state: HookState;
  readonly poststart: readonly RuntimeHook[];
  readonly poststop: readonly RuntimeHook[];
}

/** The record's part; empty for nearly all containers. */
export function lateHooksOf({ hooks }: RuntimeSpec, state: HookState): { readonly late_hooks?: LateHooks } {
  if (!isPresent(hooks?.poststart) && !isPresent(hooks?.poststop)) return {};
  return { late_hooks: { state, poststart: hooks?.poststart ?? [], poststop: hooks?.poststop ?? [] } };
}

/** Sentences of those that failed. */
export async function runLateHooks(kind: LateHookKind, main: SupervisedProcess): Promise<readonly string[]> {
  const late = main.attempt.late_hooks;
  if (late === undefined) return [];
  const failures = await runHooks(kind, late[kind], {
    ...late.state,
    ...(main.exit === undefined ? { status: 'running', pid: main.start.pid } : { status: 'stopped' }),
  });
  return failures.map(hookFailureText);
}
