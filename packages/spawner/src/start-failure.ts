/** The shim itself was killed or did not answer: nothing is wrong with the request. */
export const SHIM_STAGE = 'start the shim';

/** Why the shim could not start a process: the step, the errno, and what it was about. */
export interface StartFailure {
  readonly stage: string;
  readonly errno: number;
  readonly path: string;
}

/** Names of errno(3) by number. Most programs that could fail do not, so Node's os is loaded when one has. */
export function errnoNames(): ReadonlyMap<number, string> {
  const { errno } = process.getBuiltinModule('node:os').constants;
  return new Map(Object.entries(errno).map(([name, number]) => [number, name]));
}

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
  const name = errnoNames().get(errno) ?? `errno ${errno}`;
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

/** Why the step failed, in words. */
export function failureReason({ stage, errno }: StartFailure): string {
  return REASONS[`${stage} ${errnoNames().get(errno) ?? ''}`] ?? errnoText(errno);
}
