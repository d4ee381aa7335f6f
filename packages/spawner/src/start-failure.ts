import { constants } from 'node:os';
import { GantryError, type ErrorCode } from '@gantry/protocol';

/** The shim itself was killed or did not answer: nothing is wrong with the request. */
export const SHIM_STAGE = 'start the shim';

/** Why the shim could not start a process: the step, the errno, and what it was about. */
export interface StartFailure {
  readonly stage: string;
  readonly errno: number;
  readonly path: string;
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EINVAL: 'refused by the kernel as invalid',
  ENOEXEC: 'not an executable format',
  EISDIR: 'is a directory',
  ENOTDIR: 'not a directory',
  ELOOP: 'too many symbolic links',
  ENOSPC: 'no space left',
  ENOMEM: 'out of memory',
  EAGAIN: 'a limit on processes was reached',
  ESRCH: 'no such process',
  ESTALE: 'replaced by another object since the request was made',
  ECHILD: 'killed on the way, perhaps for want of memory',
  E2BIG: 'too large',
  EBADMSG: 'the plan is damaged',
};

export function errnoText(errno: number): string {
  const name = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
  const words = WORDS[name];
  return words === undefined ? name : `${words} (${name})`;
}

/** What an errno of one step means, where the step alone tells it. */
const REASONS: Readonly<Record<string, string>> = {
  'set oom_score_adj EACCES': 'lowering it needs CAP_SYS_RESOURCE, which Gantry does not have (EACCES)',
  'set oom_score_adj EPERM': 'lowering it needs CAP_SYS_RESOURCE, which Gantry does not have (EPERM)',
  'raise resource limit EPERM':
    'raising a hard limit needs CAP_SYS_RESOURCE, and RLIMIT_NOFILE ends at fs.nr_open (EPERM)',
  'set scheduler EPERM':
    'it needs CAP_SYS_NICE, a realtime policy also cpu.rt_runtime_us in its cgroup (EPERM)',
  'set scheduler EINVAL': 'the kernel does not have this policy or refuses its values (EINVAL)',
  'set I/O priority EPERM': 'it needs CAP_SYS_NICE or CAP_SYS_ADMIN (EPERM)',
  'set CPU affinity EINVAL': 'none of these CPUs is in the cpuset of the cgroup (EINVAL)',
  'set memory policy EINVAL':
    'the kernel does not have this policy, or none of these nodes is in the cpuset (EINVAL)',
  'set memory policy ENOSYS': 'the kernel has no NUMA policies (ENOSYS)',
  'set clock offsets ERANGE': 'a clock would be before its start or beyond its end (ERANGE)',
  'enter working directory EXDEV': 'it leads out of the container (EXDEV)',
  'set security label EINVAL': 'the kernel does not know it (EINVAL)',
  'set security label EXDEV': 'what is mounted at /proc is no proc file system of its own (EXDEV)',
  'move network device EEXIST': 'the container has a network device of that name (EEXIST)',
};

function reasonOf({ stage, errno }: StartFailure): string {
  return REASONS[`${stage} ${ERRNO_NAMES.get(errno) ?? ''}`] ?? errnoText(errno);
}

function codeOf({ stage, errno }: StartFailure): ErrorCode {
  const name = ERRNO_NAMES.get(errno);
  // `not_found` and `permission_denied` are for the command alone: exit codes 127 and 126 are told by them.
  if (stage === SHIM_STAGE) return 'unavailable';
  if (stage === 'execute') return name === 'ENOENT' || name === 'ENOTDIR' ? 'not_found' : 'permission_denied';
  if (name === 'ENOMEM' || name === 'EAGAIN' || name === 'ENOSPC' || name === 'ECHILD')
    return 'resource_exhausted';
  if (stage.startsWith('open ') || name === 'ESTALE' || name === 'ESRCH') return 'failed_precondition';
  if (name === 'EBADMSG') return 'internal';
  return 'invalid_argument';
}

/** The one error a failed start becomes. `object` is the command for `not_found` and `permission_denied`, else the container. */
export function startError(operation: string, id: string, failure: StartFailure): GantryError {
  const code = codeOf(failure);
  const reason = reasonOf(failure);
  if (failure.stage === 'execute') {
    const message =
      code === 'not_found'
        ? `command ${JSON.stringify(failure.path)} is not in the container`
        : `command ${JSON.stringify(failure.path)} cannot be executed: ${reason}`;
    return new GantryError({ code, operation, object: failure.path, message });
  }
  const about = failure.path === '' ? '' : ` ${failure.path}`;
  return new GantryError({
    code,
    operation,
    object: id,
    message: `cannot ${failure.stage}${about}: ${reason}`,
  });
}
