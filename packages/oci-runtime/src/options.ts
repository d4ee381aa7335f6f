import type { Option } from './command-line.js';

const nothing = (name: string, help: string, short?: string): Option => ({
  name,
  takes: 'nothing',
  help,
  ...(short === undefined ? {} : { short }),
});
const text = (name: string, value: string, help: string, short?: string): Option => ({
  name,
  takes: 'text',
  value,
  help,
  ...(short === undefined ? {} : { short }),
});

/** Before the verb. */
export const globalOptions: readonly Option[] = [
  text('root', 'DIR', 'where the state of containers is kept (default /run/gantry-oci)'),
  text('log', 'FILE', 'where failures and warnings are written (default standard error)'),
  text('log-format', 'FORMAT', 'text (default) or json'),
  text('log-level', 'LEVEL', 'error, warning (default) or debug'),
  nothing('debug', 'the same as --log-level debug'),
  nothing('systemd-cgroup', 'cgroups are made by systemd; cgroupsPath is slice:prefix:name'),
  text('cgroup-manager', 'MANAGER', 'cgroupfs (default), systemd or disabled'),
  text('rootless', 'WHEN', 'go on without the cgroups that may not be made: true, false or auto (default)'),
  text('criu', 'PATH', 'has no effect: there is no checkpoint'),
  nothing('version', 'show the version', 'v'),
  nothing('help', 'show this', 'h'),
];

const help = nothing('help', 'show this', 'h');

const creationOptions: readonly Option[] = [
  text('bundle', 'DIR', 'the bundle (default the current directory)', 'b'),
  text('config', 'FILE', 'name of the configuration in the bundle, or its path (default config.json)', 'f'),
  text('console-socket', 'SOCKET', 'unix socket that is handed the terminal'),
  text('pid-file', 'FILE', 'where the pid of the container is written'),
  text('pidfd-socket', 'SOCKET', 'unix socket that is sent a pidfd of the container’s process'),
  text('preserve-fds', 'N', 'descriptors that the container has beside its first three'),
  nothing('no-pivot', 'change the root by moving mounts, where pivot_root does not work'),
  nothing('no-new-keyring', 'the container keeps our session keyring'),
  nothing('no-subreaper', 'has no effect: nobody but the container’s parent is needed'),
];

const container = '<container-id>';

/** One verb as the command line knows it. */
export interface VerbWords {
  readonly summary: string;
  readonly usage: string;
  /** Fewest and most words after the options. */
  readonly words: readonly [number, number];
  readonly options: readonly Option[];
  /** Options end at the first word that is none. */
  readonly inOrder?: true;
  /** Exit code of a failure of ours, where it is not 1. */
  readonly failureCode?: number;
}

const resourceOptions: readonly Option[] = [
  text(
    'resources',
    'FILE',
    'JSON of what is to change, - for standard input; the options below come on top',
    'r',
  ),
  text('blkio-weight', 'N', 'weight of block I/O, 10 to 1000'),
  text('cpu-period', 'MICROSECONDS', 'period that --cpu-quota is of'),
  text('cpu-quota', 'MICROSECONDS', 'processor time in a period; -1 for no limit'),
  text('cpu-burst', 'MICROSECONDS', 'unused processor time that may be used later'),
  text('cpu-share', 'N', 'weight against other containers'),
  text('cpu-rt-period', 'MICROSECONDS', 'period of realtime processes'),
  text('cpu-rt-runtime', 'MICROSECONDS', 'realtime processor time in a period'),
  text('cpu-idle', 'N', '1: run only when nobody else wants to'),
  text('cpuset-cpus', 'LIST', 'processors'),
  text('cpuset-mems', 'LIST', 'memory nodes'),
  text('memory', 'BYTES', 'memory; 50M and the like are understood, -1 for no limit'),
  text('memory-reservation', 'BYTES', 'memory that is left alone longer'),
  text('memory-swap', 'BYTES', 'memory and swap together; -1 for no limit'),
  text('kernel-memory', 'BYTES', 'has no effect: kernels no longer have this limit'),
  text('kernel-memory-tcp', 'BYTES', 'memory of TCP buffers (cgroup v1)'),
  text('pids-limit', 'N', 'number of processes; -1 for no limit'),
  text('l3-cache-schema', 'SCHEMA', 'is refused: Intel RDT is not supported'),
  text('mem-bw-schema', 'SCHEMA', 'is refused: Intel RDT is not supported'),
];

const formatOption = text('format', 'FORMAT', 'table (default) or json', 'f');

export const verbs = Object.freeze({
  create: {
    summary: 'make a container; its command waits for start',
    usage: container,
    words: [1, 1],
    options: [...creationOptions, help],
  },
  start: {
    summary: 'run the command of a created container',
    usage: container,
    words: [1, 1],
    options: [help],
  },
  run: {
    summary: 'make a container, run its command and remove the container',
    usage: container,
    words: [1, 1],
    options: [
      ...creationOptions,
      nothing('detach', 'return once the command runs', 'd'),
      nothing('keep', 'do not remove the container when its command has ended'),
      help,
    ],
  },
  exec: {
    summary: 'run a further process in a container',
    usage: `${container} [command [argument...]]`,
    words: [1, Infinity],
    inOrder: true,
    failureCode: 255,
    options: [
      text('process', 'FILE', 'JSON of the process, in place of the command', 'p'),
      { name: 'tty', short: 't', takes: 'maybe', help: 'give it a terminal' },
      nothing('detach', 'return once it runs', 'd'),
      text('cwd', 'DIR', 'working directory'),
      text('env', 'NAME=VALUE', 'a further variable', 'e'),
      text('user', 'UID[:GID]', 'as whom', 'u'),
      text('additional-gids', 'GID', 'a further group', 'g'),
      text('cap', 'CAPABILITY', 'a further capability', 'c'),
      nothing('no-new-privs', 'set-user-id programs give no rights'),
      text('apparmor', 'PROFILE', 'AppArmor profile'),
      text('process-label', 'LABEL', 'SELinux label'),
      text('cgroup', '[CONTROLLER:]PATH', 'cgroup below the container’s'),
      nothing('ignore-paused', 'in a paused container too: the process waits for resume'),
      text('console-socket', 'SOCKET', 'unix socket that is handed the terminal'),
      text('pid-file', 'FILE', 'where its pid is written'),
      text('pidfd-socket', 'SOCKET', 'unix socket that is sent a pidfd of it'),
      text('preserve-fds', 'N', 'descriptors that it has beside its first three'),
      help,
    ],
  },
  kill: {
    summary: 'send a signal to the command of a container',
    usage: `${container} [signal]`,
    words: [1, 2],
    options: [
      nothing('all', 'to all its processes', 'a'),
      nothing('regex', 'the word is a regular expression for containers', 'r'),
      help,
    ],
  },
  delete: {
    summary: 'remove a stopped container',
    usage: container,
    words: [1, 1],
    options: [
      nothing('force', 'kill it first if it is not stopped', 'f'),
      nothing('regex', 'the word is a regular expression for containers', 'r'),
      help,
    ],
  },
  state: {
    summary: 'show the state of a container as JSON',
    usage: container,
    words: [1, 1],
    options: [help],
  },
  list: {
    summary: 'show all containers',
    usage: '',
    words: [0, 0],
    options: [formatOption, nothing('quiet', 'ids only', 'q'), help],
  },
  ps: {
    summary: 'show the processes of a container',
    usage: `${container} [ps options]`,
    words: [1, Infinity],
    inOrder: true,
    options: [formatOption, help],
  },
  pause: {
    summary: 'let all processes of a container stand still',
    usage: container,
    words: [1, 1],
    options: [help],
  },
  resume: { summary: 'let them go on', usage: container, words: [1, 1], options: [help] },
  update: {
    summary: 'change the limits of a container',
    usage: container,
    words: [1, 1],
    options: [...resourceOptions, help],
  },
  events: {
    summary: 'show what a container uses, and when its memory runs out',
    usage: container,
    words: [1, 1],
    options: [
      text('interval', 'DURATION', 'time between two looks (default 5s)'),
      nothing('stats', 'look once and end'),
      help,
    ],
  },
  features: { summary: 'show what this runtime can do, as JSON', usage: '', words: [0, 0], options: [help] },
  spec: {
    summary: 'write a config.json to begin with',
    usage: '',
    words: [0, 0],
    options: [
      text('bundle', 'DIR', 'where (default the current directory)', 'b'),
      text('file', 'PATH', 'as this file', 'f'),
      nothing('rootless', 'for somebody who is not root'),
      help,
    ],
  },
} satisfies Record<string, VerbWords>);

export type VerbName = keyof typeof verbs;

export function isVerb(word: string): word is VerbName {
  return Object.hasOwn(verbs, word);
}
