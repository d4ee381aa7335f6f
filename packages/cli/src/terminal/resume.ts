import { setTimeout as sleep } from 'node:timers/promises';
import { frameKinds } from '@gantry/protocol/stream-frames';
import { containerPath, type Client } from '../client/client.js';
import type { WaitLine } from '../client/types.js';
import { ApiFailure, isApiFailure, NobodyAnswers } from '../failures.js';
import { complain, writeBytes } from '../output/print.js';

/** How long gantry may be away: an upgrade or a restart takes a few seconds. */
const patienceMs = 60_000;
const askEveryMs = 100;

/** Bytes of each stream that were shown. */
export interface Shown {
  stdout: number;
  stderr: number;
}

/** Beyond this the log may have been rotated, and its begin would not be the begin of the output. */
const longestCountedOutput = 8 * 1024 * 1024;

/**
 * Does it again when the connection is lost, as soon as gantry answers again. Only for what may be asked twice. Who was
 * never there is not waited for, unless `wasThere` says that it is a matter of time.
 */
export async function survivingRestarts<T>(
  client: Client,
  act: () => Promise<T>,
  wasThere = false,
): Promise<T> {
  for (let connected = wasThere; ; connected = true) {
    try {
      return await act();
    } catch (error) {
      if (!isApiFailure(error, 'unavailable') || (!connected && error instanceof NobodyAnswers)) throw error;
      await untilGantryAnswers(client);
    }
  }
}

async function untilGantryAnswers(client: Client): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      await client.get('/v1/version');
      return;
    } catch (error) {
      if (!isApiFailure(error, 'unavailable') || performance.now() > deadline) throw error;
      await sleep(askEveryMs);
    }
  }
}

/**
 * Goes on with a container whose connection was lost because gantry restarted: the container and its log did not
 * notice. Shows what the log holds beyond what was shown, follows it to the end, and gives the exit code.
 */
export async function resumeFromLog(client: Client, id: string, shown: Shown): Promise<number> {
  complain('gantry: the connection was lost; waiting for gantry, the container goes on');
  await untilGantryAnswers(client);
  try {
    if (shown.stdout + shown.stderr > longestCountedOutput)
      complain('gantry: what it said meanwhile is in `gantry logs`');
    else await survivingRestarts(client, () => followLog(client, id, shown), true);
    return await survivingRestarts(client, () => exitCodeOf(client, id), true);
  } catch (error) {
    if (!isApiFailure(error, 'not_found')) throw error;
    throw new ApiFailure({
      code: 'not_found',
      object: id,
      message: `container ${id.slice(0, 12)} ended and was removed while gantry was away: its exit code is not known`,
    });
  }
}

async function followLog(client: Client, id: string, shown: Shown): Promise<void> {
  const passed: Shown = { stdout: 0, stderr: 0 };
  for await (const { kind, payload } of await client.frames(containerPath(id, '/logs'), { follow: true })) {
    const stream = kind === frameKinds.stderr ? 'stderr' : 'stdout';
    const known = Math.min(payload.length, Math.max(0, shown[stream] - passed[stream]));
    passed[stream] += payload.length;
    if (known === payload.length) continue;
    shown[stream] += payload.length - known;
    await writeBytes(process[stream], payload.subarray(known));
  }
}

/** Waits until it does not run. */
export async function exitCodeOf(client: Client, container: string): Promise<number> {
  for await (const { exitCode, message } of await client.lines<WaitLine>(
    'POST',
    containerPath(container, '/wait'),
  )) {
    if (message !== undefined) complain(`gantry: ${message}`);
    if (exitCode !== undefined) return exitCode;
  }
  throw new ApiFailure({
    code: 'unavailable',
    message: `the wait for ${container} ended without an exit code`,
  });
}
