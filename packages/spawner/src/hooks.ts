import type { ChildProcess } from 'node:child_process';
import type { RuntimeHook, RuntimeState } from '@gantry/oci';

/** Hooks that run when nothing of the container is left to be set up: in our own namespaces. Those before run in the shim. */
export type LateHookKind = 'poststart' | 'poststop';

/** Why a hook counts as failed. */
export interface HookFailure {
  readonly kind: LateHookKind;
  /** From 0. */
  readonly index: number;
  readonly path: string;
  /** `exit status 3`, `killed by SIGSEGV`, `not done after 5 s`. */
  readonly reason: string;
}

export function hookFailureText({ kind, index, path, reason }: HookFailure): string {
  return `error running ${kind} hook #${index}: ${path}: ${reason}`;
}

/**
 * Runs hooks one after the other, each with the container's state on its standard input and its output on our standard error.
 * One that is not done in its time is killed with all that it has started. After a failed poststart hook no further one is run,
 * as the container is stopped; poststop hooks all run (runtime-spec, "Lifecycle", steps 9 and 13).
 */
export async function runHooks(
  kind: LateHookKind,
  hooks: readonly RuntimeHook[] | undefined,
  state: RuntimeState,
): Promise<readonly HookFailure[]> {
  const failures: HookFailure[] = [];
  for (const [index, hook] of (hooks ?? []).entries()) {
    const reason = await runHook(hook, `${JSON.stringify(state)}\n`);
    if (reason === undefined) continue;
    failures.push({ kind, index, path: hook.path, reason });
    if (kind === 'poststart') break;
  }
  return failures;
}

const standardError = 2;

async function runHook(hook: RuntimeHook, state: string): Promise<string | undefined> {
  // Most containers have no hooks, and loading this takes its time.
  const { spawn } = await import('node:child_process');
  const [name = hook.path, ...words] = hook.args ?? [];
  const child = spawn(hook.path, words, {
    argv0: name,
    env: readEnvironment(hook.env ?? []),
    // A session and process group of its own, to be killed as a whole.
    detached: true,
    stdio: ['pipe', standardError, standardError],
  });
  child.stdin?.on('error', () => {
    // It need not read its state.
  });
  child.stdin?.end(state);
  return untilDone(child, hook.timeout);
}

function untilDone(child: ChildProcess, timeoutSeconds: number | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer =
      timeoutSeconds === undefined
        ? undefined
        : setTimeout(() => {
            killGroup(child);
            finish(`not done after ${timeoutSeconds} s`);
          }, timeoutSeconds * 1000);
    const finish = (reason: string | undefined): void => {
      clearTimeout(timer);
      child.stdin?.destroy();
      resolve(reason);
    };
    child.once('error', (error) => {
      finish(error.message);
    });
    // Not 'close': what a hook leaves running in the background is its own affair.
    child.once('exit', (code, signal) => {
      finish(
        code === 0 ? undefined : code === null ? `killed by ${signal ?? 'a signal'}` : `exit status ${code}`,
      );
    });
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Gone by itself in this moment.
  }
}

/** `NAME=VALUE`; the last of a name counts. Nothing of our own environment is passed on. */
function readEnvironment(pairs: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}
