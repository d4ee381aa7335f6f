import { frameKinds } from '@gantry/protocol/stream-frames';
import type { Attached } from '../client/attached.js';
import { ApiFailure } from '../failures.js';
import { writeBytes } from '../output/print.js';
import { DetachWatcher, usualDetachKeys } from './detach-keys.js';
import type { Shown } from './resume.js';

interface SessionOptions {
  /** Send our standard input, as soon as `started` says that somebody can read it. */
  readonly stdin: boolean;
  readonly started?: Promise<unknown>;
  /** The process has a terminal: ours becomes its. */
  readonly terminal: boolean;
  readonly detachKeys?: readonly number[];
  /** Counts what was shown. */
  readonly shown?: Shown;
}

export type SessionEnd = { readonly exitCode: number } | 'detached';

/** Size of our terminal for the one inside; nothing when we have none. */
export function terminalSize(terminal: boolean): { rows?: number; columns?: number } {
  const { stdout } = process;
  return terminal && stdout.isTTY ? { rows: stdout.rows, columns: stdout.columns } : {};
}

/** Joins our terminal or pipes with an attached process until it ends or the user leaves. */
export async function runSession(attached: Attached, options: SessionOptions): Promise<SessionEnd> {
  const leave = new AbortController();
  const restore =
    options.terminal && options.stdin ? (await import('./raw-mode.js')).enterRawMode() : () => undefined;
  const onResize = (): void => attached.resize(process.stdout.rows, process.stdout.columns);
  if (options.terminal && process.stdout.isTTY) process.stdout.on('resize', onResize);
  try {
    if (options.stdin)
      void Promise.resolve(options.started).then(
        () => sendInput(attached, options, leave),
        () => undefined,
      );
    return await receiveOutput(attached, leave.signal, options.shown ?? { stdout: 0, stderr: 0 });
  } finally {
    process.stdout.off('resize', onResize);
    if (options.stdin) process.stdin.pause();
    restore();
    attached.close();
  }
}

function sendInput(
  attached: Attached,
  { terminal, detachKeys }: SessionOptions,
  leave: AbortController,
): void {
  const { stdin } = process;
  const watcher = new DetachWatcher(terminal && stdin.isTTY ? (detachKeys ?? usualDetachKeys) : []);
  stdin.on('data', (chunk: Buffer) => {
    const { pass, detach } = watcher.filter(chunk);
    if (detach) {
      leave.abort();
      return;
    }
    if (pass.length === 0) return;
    stdin.pause();
    void attached.sendInput(pass).then(() => {
      if (!leave.signal.aborted) stdin.resume();
    });
  });
  stdin.once('end', () => attached.endInput());
  stdin.once('error', () => attached.endInput());
}

async function receiveOutput(attached: Attached, left: AbortSignal, shown: Shown): Promise<SessionEnd> {
  left.addEventListener('abort', () => attached.close(), { once: true });
  try {
    for await (const { kind, payload } of attached.frames) {
      if (kind === frameKinds.stdout || kind === frameKinds.stderr) {
        const stream = kind === frameKinds.stdout ? 'stdout' : 'stderr';
        await writeBytes(process[stream], payload);
        shown[stream] += payload.length;
      } else if (kind === frameKinds.exit) return { exitCode: payload.readInt32BE(0) };
      else if (kind === frameKinds.error) throw new ApiFailure(JSON.parse(payload.toString()) as ApiFailure);
    }
  } catch (error) {
    if (left.aborted) return 'detached';
    throw error instanceof ApiFailure ? error : lost();
  }
  if (left.aborted) return 'detached';
  throw lost();
}

const lost = (): ApiFailure =>
  new ApiFailure({
    code: 'unavailable',
    message: 'the connection to gantry was lost; the container goes on (see `gantry ps`, `gantry attach`)',
  });
