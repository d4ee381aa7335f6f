import type { RuntimeProcess } from '@gantry/oci';

/** Descriptors of socket activation that were meant for us: LISTEN_PID, when given, is ours. */
export function countListening(environment: NodeJS.ProcessEnv, pid: number): number {
  const { LISTEN_FDS: count = '', LISTEN_PID: receiver = '' } = environment;
  if (receiver !== '' && receiver !== String(pid)) return 0;
  return /^[1-9]\d{0,3}$/.test(count) ? Number(count) : 0;
}

/** Hands socket activation on. 1, as every runtime says: the program is the first of its pid namespace. Pure. */
export function withListening(
  process: RuntimeProcess,
  environment: NodeJS.ProcessEnv,
  pid: number,
): RuntimeProcess {
  const count = countListening(environment, pid);
  if (count === 0) return process;
  const { LISTEN_FDNAMES: names } = environment;
  return {
    ...process,
    env: [
      ...(process.env ?? []),
      `LISTEN_FDS=${count}`,
      'LISTEN_PID=1',
      ...(names === undefined ? [] : [`LISTEN_FDNAMES=${names}`]),
    ],
  };
}
