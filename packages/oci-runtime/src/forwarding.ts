import type { NativeSpawner } from '@gantry/spawner/runtime';

/** What somebody may send to us and mean the container. */
const forwarded = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGALRM', 'SIGWINCH',
] as const; // prettier-ignore

/** Passes signals on to a process until the returned function is called. */
export function forwardSignals(native: NativeSpawner, pid: number, startTicks: bigint): () => void {
  const pass = (_name: NodeJS.Signals, number: number): void => {
    native.signalProcess(pid, startTicks, number);
  };
  for (const name of forwarded) process.on(name, pass);
  return () => {
    for (const name of forwarded) process.off(name, pass);
  };
}
