import type { Init, spawn } from '@gantry/protocol';
import type { ExitRecord } from './runtime-records.js';
import type { Container } from './spawner.js';

/** Wire form of an exit. */
export function exitStatus(exit: ExitRecord): Init<spawn.ExitStatus> {
  return {
    exitCode: exit.exitCode,
    signal: exit.signal,
    exitedUnixNanos: Number(exit.exitedUnixNanos),
    oomKillCount: exit.oomKillCount,
    lost: exit.lost,
  };
}

/** Wire form of a container. */
export function containerState({ id, attempt, main }: Container): Init<spawn.ContainerState> {
  return {
    containerId: id,
    attempt,
    status: main.exit === undefined ? 'running' : 'exited',
    pid: main.start.pid,
    shimPid: main.start.shimPid,
    startedUnixNanos: Number(main.start.startedUnixNanos),
    ...(main.exit === undefined ? {} : { exit: exitStatus(main.exit) }),
  };
}
