import type { RuntimeHook, RuntimeSpec } from '@gantry/oci';
import { errnoText, type StartFailure } from '@gantry/spawner/runtime';

/**
 * Why a process could not be started, in the words that podman, docker and containerd look for: "executable file not found in $PATH" and "no such file or directory" become their exit code 127, "permission denied" 126.
 * Pure.
 */
export function startWords(failed: StartFailure, spec: Pick<RuntimeSpec, 'hooks'>): string {
  const { stage, errno, path } = failed;
  if (stage === 'execute') return `unable to start container process: ${executeWords(path, errno)}`;
  const hook = /^run (\w+) hook$/.exec(stage)?.[1];
  if (hook !== undefined) return hookWords(hook, path, spec);
  if (stage === 'enter working directory')
    return `chdir to cwd (${JSON.stringify(path)}) set in config.json failed: ${errnoText(errno)}`;
  if (stage === 'start container without process') return 'cannot start: process is missing';
  return `cannot ${stage}${path === '' ? '' : ` ${path}`}: ${errnoText(errno)}`;
}

function executeWords(name: string, errno: number): string {
  // Loaded by those that fail.
  const { ENOENT, ENOTDIR, EACCES, EPERM, EISDIR, ENOEXEC } =
    process.getBuiltinModule('node:os').constants.errno;
  const quoted = JSON.stringify(name);
  if (errno === ENOENT || errno === ENOTDIR)
    return name.includes('/')
      ? `exec: ${quoted}: stat ${name}: no such file or directory`
      : `exec: ${quoted}: executable file not found in $PATH`;
  if (errno === EISDIR) return `exec: ${quoted}: is a directory: permission denied`;
  if (errno === EACCES || errno === EPERM) return `exec: ${quoted}: permission denied`;
  if (errno === ENOEXEC) return `exec ${name}: exec format error`;
  return `exec: ${quoted}: ${errnoText(errno)}`;
}

/** `what` begins with the hook's path: which of them it was is found again by that. */
function hookWords(kind: string, what: string, spec: Pick<RuntimeSpec, 'hooks'>): string {
  const all: Readonly<Record<string, readonly RuntimeHook[]>> = { ...spec.hooks };
  const hooks = all[kind] ?? [];
  const index = hooks.findIndex(({ path }: RuntimeHook) => what.startsWith(`${path}:`));
  return `error running ${kind} hook${index < 0 ? '' : ` #${index}`}: ${what}`;
}
