import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { judge, parseLogLine, type LogEntry, type LogFilter } from './log-lines.js';
import { listLogFiles, LogFile } from './log-files.js';

/** Bytes after which a batch is sent; far below the largest message. */
const BATCH_BYTES = 64 * 1024;
/** A change missed by the watch is seen by then. */
const POLL_MS = 500;

export interface LogRequest extends LogFilter {
  readonly path: string;
  readonly follow: boolean;
  /** Last lines; undefined: all. */
  readonly tail: number | undefined;
  /** False once no more can come. */
  readonly writing: () => boolean;
  readonly signal: AbortSignal;
}

/** Wakes on changes in the log's directory, or after half a second. */
class ChangeWatch implements Disposable {
  readonly #watcher;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    try {
      this.#watcher = watch(dirname(path), () => {
        this.#changed = true;
        this.#wake?.();
      });
      // Out of watches is no reason to fail: the poll remains.
      this.#watcher.on('error', () => undefined);
    } catch {
      this.#watcher = undefined;
    }
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#changed && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        signal.addEventListener('abort', this.#wake, { once: true });
      });
      if (this.#wake !== undefined) signal.removeEventListener('abort', this.#wake);
      this.#wake = undefined;
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );
}

/** Opens the files that hold the wanted lines, oldest first. */
async function openFiles(request: LogRequest): Promise<LogFile[]> {
  const opened: LogFile[] = [];
  const seen = new Set<number>();
  let left = request.tail ?? Infinity;
  // Newest first: a rotation meanwhile moves files to where we are still to look, never past us.
  for (const path of [...(await listLogFiles(request.path))].reverse()) {
    if (left <= 0 && opened.length > 0) break;
    const file = await LogFile.open(path);
    if (file === undefined) continue;
    if (seen.has(file.inode)) {
      await file[Symbol.asyncDispose]();
      continue;
    }
    seen.add(file.inode);
    opened.unshift(file);
    if (left !== Infinity) left -= left > 0 ? await file.seekLastLines(left) : 0;
  }
  return opened;
}

/** The files that came after the one with this inode, oldest first. */
async function filesAfter(path: string, inode: number): Promise<LogFile[]> {
  const files: LogFile[] = [];
  for (const name of [...(await listLogFiles(path))].reverse()) {
    const file = await LogFile.open(name);
    if (file === undefined) continue;
    if (file.inode === inode) {
      await file[Symbol.asyncDispose]();
      break;
    }
    if (files.some((other) => other.inode === file.inode)) await file[Symbol.asyncDispose]();
    else files.unshift(file);
  }
  return files;
}

/**
 * Batches of log entries, in the order written, across rotated files; with `follow`, until nothing can come any more.
 * A rotation while reading loses nothing that is still on disk.
 */
export async function* readLogs(request: LogRequest): AsyncGenerator<readonly LogEntry[]> {
  if (request.tail === 0 && !request.follow) return;
  const queue = await openFiles(request);
  using changes = request.follow ? new ChangeWatch(request.path) : undefined;
  if (request.tail === 0) for (const file of queue) await skipToEnd(file);
  let batch: LogEntry[] = [];
  let batchBytes = 0;
  try {
    for (;;) {
      // Asked before reading: what was written before the end is then surely read.
      const writing = request.writing();
      const [file] = queue;
      const lines = (await file?.readLines()) ?? [];
      for (const line of lines) {
        const entry = parseLogLine(line);
        if (entry === undefined) continue;
        const verdict = judge(entry, request);
        if (verdict === 'past') {
          if (batch.length > 0) yield batch;
          return;
        }
        if (verdict === 'unwanted') continue;
        batch.push(entry);
        batchBytes += entry.data.length + 32;
        if (batchBytes >= BATCH_BYTES) {
          yield batch;
          batch = [];
          batchBytes = 0;
        }
      }
      if (lines.length > 0) continue;
      if (file !== undefined && queue.length > 1) {
        queue.shift();
        await file[Symbol.asyncDispose]();
        continue;
      }
      if (batch.length > 0) {
        yield batch;
        batch = [];
        batchBytes = 0;
      }
      if (!request.follow || request.signal.aborted) return;
      if (await advance(request.path, queue)) continue;
      if (!writing) return;
      if (request.untilUnixNanos > 0 && Date.now() * 1e6 > request.untilUnixNanos) return;
      await changes?.wait(request.signal);
    }
  } finally {
    for (const file of queue) await file[Symbol.asyncDispose]();
  }
}

/** At the end of the newest file known: takes up the ones a rotation has put after it. */
async function advance(path: string, queue: LogFile[]): Promise<boolean> {
  const [last] = queue;
  const current = await inodeOf(path);
  if (current === undefined || current === last?.inode) return false;
  if (last === undefined) {
    const file = await LogFile.open(path);
    if (file !== undefined) queue.push(file);
    return file !== undefined;
  }
  const later = await filesAfter(path, last.inode);
  if (later.length === 0) return false;
  // What was written to the old file between our last read and the rotation is read first: it stays at the front.
  queue.push(...later);
  return true;
}

async function skipToEnd(file: LogFile): Promise<void> {
  while ((await file.readLines()).length > 0);
}
