import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withCgroup } from './birth-cgroup.js';
import type { Handle } from './handle.js';
import { isNativeError, nativeDirectory, type NativeSpawner } from './native.js';
import type { ProcessDirectory } from './runtime-records.js';
import { ShimConnection, ShimSilence } from './shim-connection.js';
import type { ShimMessage } from './shim-protocol.js';
import { SHIM_STAGE, type StartFailure } from './start-failure.js';

export type Started = Extract<ShimMessage, { kind: 'started' }>;
type FirstWord = Started | Extract<ShimMessage, { kind: 'failed' }>;

/** A start ends in a running process or in one reason, with nothing left behind. */
export type LaunchResult =
  | { readonly ok: true; readonly started: Started; readonly connection: ShimConnection }
  | { readonly ok: false; readonly failure: StartFailure };

const ENOENT = 2;
const ESRCH = 3;
const EBUSY = 16;
const ETIMEDOUT = 110;
const SIGKILL = 9;
const REAP_DELAYS_MS = [0, 1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 2000, 5000];
const RELEASE_TIMEOUT_MS = 5_000;
const LONGEST_REAP_DELAY_MS = 10_000;

function isFirstWord(message: ShimMessage): message is FirstWord {
  return message.kind === 'started' || message.kind === 'failed';
}

/** Starts shims, and finds those that an earlier life of the service started. */
export class ShimLauncher {
  readonly #native: NativeSpawner;
  readonly #image: number;
  readonly #startTimeoutMs: number;

  constructor(native: NativeSpawner, startTimeoutMs = 30_000) {
    this.#native = native;
    this.#image = native.loadShim(join(nativeDirectory(), 'gantry-shim'));
    this.#startTimeoutMs = startTimeoutMs;
  }

  /** Releases the shim's image; running shims have their own hold on it. */
  close(): void {
    closeSync(this.#image);
  }

  /** `directory` holds the attempt's record already; `cgroup` is the v2 directory the shim is born in. */
  async launch(
    directory: ProcessDirectory,
    plan: Uint8Array,
    label: string,
    cgroup?: Handle,
  ): Promise<LaunchResult> {
    const lock = this.#native.lockFile(directory.lockPath);
    if (lock === null)
      return { ok: false, failure: { stage: 'take the lock of', errno: EBUSY, path: directory.path } };
    let shim: { pid: number; controlFd: number } | StartFailure;
    try {
      shim = withCgroup(cgroup, (descriptor) =>
        this.#native.startShim(this.#image, plan, lock, label, descriptor, 0),
      );
    } catch (error) {
      if (!isNativeError(error)) throw error;
      return { ok: false, failure: { stage: error.stage, errno: error.errno, path: error.path } };
    } finally {
      // The shim has its own descriptor of the same lock.
      closeSync(lock);
    }
    if ('stage' in shim) return { ok: false, failure: shim };
    const { pid, controlFd } = shim;
    const connection = ShimConnection.fromDescriptor(controlFd);
    void this.reap(pid, connection.closed);
    try {
      const word = await connection.next(isFirstWord, this.#startTimeoutMs);
      if (word.kind === 'started') return { ok: true, started: word, connection };
      connection.close();
      return { ok: false, failure: word };
    } catch (error) {
      if (!(error instanceof ShimSilence)) throw error;
      // Its child dies with it (parent death signal), and what was mounted was mounted in that child's namespace only.
      this.#native.signalProcess(pid, 0n, SIGKILL);
      connection.close();
      return {
        ok: false,
        failure: { stage: SHIM_STAGE, errno: error.timedOut ? ETIMEDOUT : ESRCH, path: '' },
      };
    }
  }

  /** Whether a shim lives for this directory: it holds the lock as long as it does. */
  isHeld(directory: ProcessDirectory): boolean {
    try {
      const lock = this.#native.lockFile(directory.lockPath);
      if (lock === null) return true;
      closeSync(lock);
    } catch (error) {
      if (!isNativeError(error) || error.errno !== ENOENT) throw error;
    }
    return false;
  }

  /** Waits until no shim lives for this directory; false when one still does after five seconds. */
  async untilReleased(directory: ProcessDirectory): Promise<boolean> {
    const end = Date.now() + RELEASE_TIMEOUT_MS;
    for (let waitMs = 1; this.isHeld(directory); waitMs = Math.min(waitMs * 2, 100)) {
      if (Date.now() > end) return false;
      await delay(waitMs);
    }
    return true;
  }

  /** Connects to a shim that may still be busy starting. Undefined when it has gone in the meantime. */
  async adopt(
    directory: ProcessDirectory,
  ): Promise<{ started: Started; connection: ShimConnection } | undefined> {
    const end = Date.now() + this.#startTimeoutMs;
    while (Date.now() < end && this.isHeld(directory)) {
      try {
        const connection = await ShimConnection.open(directory.path);
        try {
          const started = await connection.next(
            (message): message is Started => message.kind === 'started',
            end - Date.now(),
          );
          return { started, connection };
        } catch (error) {
          connection.close();
          throw error;
        }
      } catch {
        // Between its birth and its socket, or between its socket and its end.
        await delay(20);
      }
    }
    return undefined;
  }

  /** Waits for a shim of ours to end, so that no zombie stays. Shims of an earlier life have another parent. */
  async reap(pid: number, closed: Promise<void>): Promise<void> {
    await closed;
    // Usually gone within a millisecond. A shim that was only left (the service stops, its process goes on) may live for long.
    for (let tries = 0; ; tries++) {
      await delay(REAP_DELAYS_MS[tries] ?? LONGEST_REAP_DELAY_MS, undefined, { ref: false });
      if (this.#native.reapChild(pid)) return;
    }
  }
}
