import type { Command } from 'commander';

/** Repeatable flags gather their values. */
const gather = (value: string, before: string[] = []): string[] => [...before, value];

/** What `run` and `create` are told about the container; names are commander's for the flags. */
export interface ContainerFlags {
  addHost?: string[];
  capAdd?: string[];
  capDrop?: string[];
  cidfile?: string;
  cpuPeriod?: string;
  cpuQuota?: string;
  cpuShares?: string;
  cpus?: string;
  cpusetCpus?: string;
  cpusetMems?: string;
  device?: string[];
  dns?: string[];
  dnsOption?: string[];
  dnsSearch?: string[];
  entrypoint?: string;
  env?: string[];
  envFile?: string[];
  groupAdd?: string[];
  healthCmd?: string;
  healthInterval?: string;
  healthRetries?: string;
  healthStartInterval?: string;
  healthStartPeriod?: string;
  healthTimeout?: string;
  healthcheck?: boolean;
  hostname?: string;
  init?: boolean;
  interactive?: boolean;
  label?: string[];
  labelFile?: string[];
  logDriver?: string;
  logOpt?: string[];
  memory?: string;
  memoryReservation?: string;
  memorySwap?: string;
  mount?: string[];
  name?: string;
  network?: string;
  oomKillDisable?: boolean;
  oomScoreAdj?: string;
  pidsLimit?: string;
  platform?: string;
  privileged?: boolean;
  publish?: string[];
  pull: string;
  quiet?: boolean;
  readOnly?: boolean;
  restart?: string;
  rm?: boolean;
  securityOpt?: string[];
  shmSize?: string;
  stopSignal?: string;
  stopTimeout?: string;
  sysctl?: string[];
  tmpfs?: string[];
  tty?: boolean;
  ulimit?: string[];
  user?: string;
  userns?: string;
  volume?: string[];
  volumesFrom?: string[];
  workdir?: string;
}

/** Adds docker's flags for a container's properties. */
export function addContainerFlags(command: Command): Command {
  return command
    .option('--add-host <host:address>', 'add a line to /etc/hosts', gather)
    .option('--cap-add <capability>', 'add a Linux capability', gather)
    .option('--cap-drop <capability>', 'drop a Linux capability', gather)
    .option('--cidfile <file>', 'write the container id to this file')
    .option('--cpu-period <microseconds>', 'CFS period')
    .option('--cpu-quota <microseconds>', 'CFS quota')
    .option('-c, --cpu-shares <weight>', 'relative weight, 1024 is usual')
    .option('--cpus <number>', 'number of processors, such as 0.5')
    .option('--cpuset-cpus <list>', 'processors it may run on, such as 0-3,7')
    .option('--cpuset-mems <list>', 'memory nodes it may use')
    .option('--device <host[:container][:rwm]>', 'give it a device', gather)
    .option('--dns <address>', 'resolver', gather)
    .option('--dns-option <option>', 'resolver option', gather)
    .option('--dns-search <domain>', 'search domain', gather)
    .option('--entrypoint <program>', "program instead of the image's")
    .option('-e, --env <name=value>', 'environment variable', gather)
    .option('--env-file <file>', 'file of environment variables', gather)
    .option('--group-add <group>', 'additional group', gather)
    .option('--health-cmd <command>', 'command that tells whether it is healthy')
    .option('--health-interval <duration>', 'time between checks [30s]')
    .option('--health-retries <count>', 'failures in a row until unhealthy [3]')
    .option('--health-start-interval <duration>', 'time between checks while it starts [5s]')
    .option('--health-start-period <duration>', 'time it may take to start [0s]')
    .option('--health-timeout <duration>', 'time a check may take [30s]')
    .option('-h, --hostname <name>', 'name of the host inside')
    .option('--init', 'run a small init as pid 1')
    .option('-i, --interactive', 'keep standard input open')
    .option('-l, --label <key=value>', 'label', gather)
    .option('--label-file <file>', 'file of labels', gather)
    .option('--log-driver <driver>', 'json-file or none')
    .option('--log-opt <key=value>', 'max-size or max-file', gather)
    .option('-m, --memory <size>', 'memory limit, such as 64m')
    .option('--memory-reservation <size>', 'soft memory limit')
    .option('--memory-swap <size>', 'memory and swap together, -1 for unlimited swap')
    .option('--mount <type=...,source=...,target=...>', 'bind, volume or tmpfs mount', gather)
    .option('--name <name>', 'name of the container')
    .option('--net, --network <mode>', 'bridge, none, host or container:NAME')
    .option('--no-healthcheck', 'no health check, whatever the image says')
    .option('--oom-kill-disable', 'do not kill when memory runs out')
    .option('--oom-score-adj <number>', 'preference of the OOM killer, -1000 to 1000')
    .option('--pids-limit <number>', 'processes and threads, -1 for unlimited')
    .option('--platform <os/arch>', 'platform to pull')
    .option('--privileged', 'no confinement')
    .option('-p, --publish <[[address:]host:]container[/protocol]>', 'publish a port', gather)
    .option('--pull <policy>', 'missing, always or never', 'missing')
    .option('-q, --quiet', 'no progress of a pull')
    .option('--read-only', 'root file system cannot be written')
    .option('--restart <policy>', 'no, always, unless-stopped or on-failure[:maximum]')
    .option('--rm', 'remove the container when it exits')
    .option('--security-opt <option>', 'no-new-privileges, seccomp=FILE, seccomp=unconfined, ...', gather)
    .option('--shm-size <size>', 'size of /dev/shm [64m]')
    .option('--stop-signal <signal>', 'signal that asks it to stop')
    .option('--stop-timeout <seconds>', 'time from that signal to SIGKILL [10]')
    .option('--sysctl <name=value>', 'kernel parameter of its own namespaces', gather)
    .option('--tmpfs <target[:options]>', 'tmpfs mount', gather)
    .option('-t, --tty', 'give it a terminal')
    .option('--ulimit <name=soft[:hard]>', 'limit of its processes', gather)
    .option('-u, --user <user[:group]>', 'user, by name or number')
    .option('--userns <mode>', 'private or host')
    .option('-v, --volume <[source:]target[:options]>', 'bind mount or volume', gather)
    .option('--volumes-from <container[:ro]>', 'mounts of another container', gather)
    .option('-w, --workdir <path>', 'working directory');
}

/** Docker's flags that Gantry does not do: refused with a sentence of their own. */
export const flagsNotDone: Readonly<Record<string, readonly string[]>> = {
  run: [
    ...[
      '--annotation',
      '--attach',
      '-a',
      '--blkio-weight',
      '--blkio-weight-device',
      '--cgroup-parent',
      '--cgroupns',
    ],
    ...[
      '--cpu-rt-period',
      '--cpu-rt-runtime',
      '--device-cgroup-rule',
      '--device-read-bps',
      '--device-read-iops',
    ],
    ...[
      '--device-write-bps',
      '--device-write-iops',
      '--disable-content-trust',
      '--domainname',
      '--expose',
      '--gpus',
    ],
    ...[
      '--ip',
      '--ip6',
      '--ipc',
      '--isolation',
      '--kernel-memory',
      '--link',
      '--link-local-ip',
      '--mac-address',
    ],
    ...[
      '--memory-swappiness',
      '--network-alias',
      '--pid',
      '--publish-all',
      '-P',
      '--runtime',
      '--storage-opt',
    ],
    ...['--use-api-socket', '--uts', '--volume-driver'],
  ],
  exec: ['--detach-keys'],
  logs: ['--details'],
  build: [],
};
