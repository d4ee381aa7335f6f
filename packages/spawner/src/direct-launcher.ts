import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { withCgroup } from './birth-cgroup.js';
import type { Handle } from './handle.js';
import { isNativeError, nativeDirectory, type NativeSpawner } from './native.js';
import { LauncherChannel } from './launcher-channel.js';
import { encodeFrame, frameKind, type ShimMessage } from './shim-protocol.js';
import { SHIM_STAGE, type StartFailure } from './start-failure.js';

/** A process that its caller watches. */
export interface DirectProcess {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: tells the process from a later one with its pid. 0n when it has gone already. */
  readonly startTicks: bigint;
  /** How it ended; only without `detach` and `awaitStart`. Rejects when the launcher was killed. */
  readonly ended: () => Promise<{ readonly exitCode: number; readonly signal: number }>;
}

export type DirectResult =
  | { readonly ok: true; readonly process: DirectProcess }
  | { readonly ok: false; readonly failure: StartFailure };

export interface DirectLaunch {
  readonly plan: Uint8Array;
  /** The plan's directory. */
  readonly directory: string;
  /** What `ps` shows of the launcher. */
  readonly label: string;
  /** The same as in the plan's supervision. */
  readonly preservedDescriptors: number;
  /** The v2 cgroup that the launcher is born in; as a rule none. */
  readonly cgroup?: Handle;
  /** With `awaitPlacement`: puts the stage where it belongs before it goes on. */
  readonly place?: (pid: number) => Promise<void>;
  /** Milliseconds from the launch to the start or its failure; hooks take their time. */
  readonly timeoutMs: number;
}

type Of<K extends ShimMessage['kind']> = Extract<ShimMessage, { kind: K }>;

const ECANCELED = 125;
const ESRCH = 3;
const ETIMEDOUT = 110;
const SIGKILL = 9;

/** Field 22 of /proc/<pid>/stat; 0n when there is no such process. */
export function readStartTicks(pid: number): bigint {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field may hold blanks and parentheses.
    return BigInt(text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0');
  } catch {
    return 0n;
  }
}

/** Starts processes whose supervisor is whoever started us: no shim stays, init is handed over. */
export class DirectLauncher {
  readonly #native: NativeSpawner;

  constructor(native: NativeSpawner) {
    this.#native = native;
  }

  async launch(request: DirectLaunch): Promise<DirectResult> {
    let launcher: { pid: number; controlFd: number } | StartFailure;
    try {
      launcher = this.#spawn(request);
    } catch (error) {
      if (!isNativeError(error)) throw error;
      return { ok: false, failure: { stage: error.stage, errno: error.errno, path: error.path } };
    }
    if ('stage' in launcher) return { ok: false, failure: launcher };
    const { pid, controlFd } = launcher;
    const channel = new LauncherChannel(controlFd);
    const word = await this.#untilStarted(channel, pid, request);
    if ('stage' in word) {
      channel.close();
      return { ok: false, failure: word };
    }
    return {
      ok: true,
      process: {
        pid: word.pid,
        startTicks: readStartTicks(word.pid),
        ended: async () => {
          const end = await channel.next();
          channel.close();
          if (end?.kind !== 'exit') throw new Error('the launcher ended before the container did');
          return end.exit;
        },
      },
    };
  }

  #spawn(request: DirectLaunch): { pid: number; controlFd: number } | StartFailure {
    const image = this.#native.loadShim(join(nativeDirectory(), 'gantry-shim'));
    const directory = openSync(request.directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return withCgroup(request.cgroup, (cgroup) =>
        this.#native.startShim(
          image,
          request.plan,
          directory,
          request.label,
          cgroup,
          request.preservedDescriptors,
        ),
      );
    } finally {
      closeSync(directory);
      closeSync(image);
    }
  }

  async #untilStarted(
    channel: LauncherChannel,
    launcher: number,
    request: DirectLaunch,
  ): Promise<Of<'started'> | StartFailure> {
    let timedOut = false;
    // Its end ends the wait below.
    const timer = setTimeout(() => {
      timedOut = true;
      this.#native.signalProcess(launcher, 0n, SIGKILL);
    }, request.timeoutMs);
    try {
      for (;;) {
        const word = await channel.next();
        if (word === undefined) return { stage: SHIM_STAGE, errno: timedOut ? ETIMEDOUT : ESRCH, path: '' };
        if (word.kind === 'started' || word.kind === 'failed') return word;
        if (word.kind !== 'place') continue;
        if (request.place === undefined) return { stage: 'place the container', errno: ECANCELED, path: '' };
        await request.place(word.pid);
        writeSync(channel.descriptor, encodeFrame(frameKind.release));
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Lets init, which stands at `start.sock` in `directory`, go on: undefined once it has executed the container's command, else why
 * it could not. Throws ENOENT or ECONNREFUSED when nobody stands there (any more).
 */
export async function openStartDoor(directory: string, timeoutMs: number): Promise<StartFailure | undefined> {
  // Node's net takes its time to load; a creation goes without.
  const { ShimConnection, ShimSilence } = await import('./shim-connection.js');
  const connection = await ShimConnection.connect(directory, 'start.sock');
  try {
    const isFailure = (message: ShimMessage): message is Of<'failed'> => message.kind === 'failed';
    return await connection.next(isFailure, timeoutMs);
  } catch (error) {
    if (!(error instanceof ShimSilence)) throw error;
    return error.timedOut ? { stage: SHIM_STAGE, errno: ETIMEDOUT, path: '' } : undefined;
  } finally {
    connection.close();
  }
}
