import {
  chmodSync,
  closeSync,
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { isNativeError, type NativeSpawner } from '@gantry/spawner/runtime';
import { monotonicMs } from './clock.js';
import { readRecord, type ContainerRecord } from './container-record.js';
import { errorCode, failure } from './failure.js';

/** The last to go when a container is removed: as long as it is there, the container can be removed again. */
const recordName = 'state.json';
const lockName = 'lock';
const ENOENT = 2;
const lockWaitMs = 10_000;

/** A container's directory while nobody else may change it. Freed by `release`, and by the kernel if we are killed. */
export interface HeldContainer {
  readonly directory: string;
  /** Undefined when nothing but the directory was made. */
  readonly record: ContainerRecord | undefined;
  readonly release: () => void;
}

const isId = (id: string): boolean => /^[\w+-][\w+\-.]*$/.test(id) && id.length <= 255;

export function checkId(id: string): string {
  const foreign = /[^\w+\-.]/u.exec(id)?.[0];
  if (foreign !== undefined)
    failure(
      `invalid container ID format: invalid character ${JSON.stringify(foreign)} in container ID ${JSON.stringify(id)}`,
    );
  if (!isId(id)) failure(`invalid container ID format: ${JSON.stringify(id)}`);
  return id;
}

export function doesNotExist(id: string): string {
  return `container does not exist: ${JSON.stringify(id)}`;
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * <root>/<id>/ of each container:
 *
 *   lock         held (flock) by the verb that is changing it
 *   state.json   written aside and renamed: readers need no lock
 *   config.json  as it was at create; later changes in the bundle mean nothing
 *   start.sock   where a created container waits
 *
 * <root>/~seccomp/ is no container's: compiled filters, for the commands to come.
 */
export class ContainerStore {
  readonly root: string;
  readonly #native: () => NativeSpawner;

  constructor(root: string, native: () => NativeSpawner) {
    this.root = resolve(root);
    this.#native = native;
  }

  get seccompDirectory(): string {
    return join(this.root, '~seccomp');
  }

  directoryOf(id: string): string {
    return join(this.root, checkId(id));
  }

  /** Undefined when there is no such container, or only a directory of one. */
  read(id: string): ContainerRecord | undefined {
    try {
      return readRecord(readFileSync(join(this.directoryOf(id), recordName), 'utf8'));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  get(id: string): ContainerRecord {
    return this.read(id) ?? failure(doesNotExist(id));
  }

  /** Ids, sorted. */
  ids(): readonly string[] {
    const entries = readdirSync(this.root, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && isId(entry.name))
      .map((entry) => entry.name)
      .sort();
  }

  readConfig(id: string): string {
    return readFileSync(join(this.directoryOf(id), 'config.json'), 'utf8');
  }

  writeConfig(id: string, text: string): void {
    this.#writeAside(join(this.directoryOf(id), 'config.json'), text);
  }

  write(record: ContainerRecord): void {
    this.#writeAside(join(this.directoryOf(record.id), recordName), JSON.stringify(record));
  }

  #writeAside(path: string, text: string): void {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Makes the directory of a new container, held. Undefined when there is one already: see `hold`. */
  claim(id: string): HeldContainer | undefined {
    const directory = this.directoryOf(id);
    mkdirSync(this.root, { recursive: true, mode: 0o700 });
    try {
      mkdirSync(directory, { mode: 0o700 });
      chmodSync(directory, 0o711);
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return undefined;
      throw error;
    }
    return this.#tryHold(id) ?? undefined;
  }

  /** The container, when no other verb is changing it any more. Undefined when it does not exist. */
  hold(id: string, waitMs: number = lockWaitMs): HeldContainer | undefined {
    const end = monotonicMs() + waitMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
      const held = this.#tryHold(id);
      if (held !== null) return held;
      if (monotonicMs() > end)
        failure(`container ${JSON.stringify(id)} is busy: another command is working on it`);
      sleep(pauseMs);
    }
  }

  /** True while a verb is changing it. */
  isHeld(id: string): boolean {
    const held = this.#tryHold(id);
    held?.release();
    return held === null;
  }

  /** Null: held by another. Undefined: not there. */
  #tryHold(id: string): HeldContainer | undefined | null {
    const directory = this.directoryOf(id);
    const path = join(directory, lockName);
    for (;;) {
      let lock: number | null;
      try {
        lock = this.#native().lockFile(path);
      } catch (error) {
        if (isNativeError(error) && error.errno === ENOENT) return undefined;
        throw error;
      }
      if (lock === null) return null;
      const descriptor = lock;
      // Whoever held it before us may have removed the container: then this is the lock of nothing.
      if (statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(descriptor).ino) {
        closeSync(descriptor);
        continue;
      }
      return { directory, record: this.read(id), release: () => closeSync(descriptor) };
    }
  }

  /** Removes a held container's directory, the record at the end. */
  erase({ directory }: HeldContainer): void {
    const last = [recordName, lockName];
    for (const name of readdirSync(directory))
      if (!last.includes(name)) rmSync(join(directory, name), { recursive: true, force: true });
    for (const name of last) rmSync(join(directory, name), { force: true });
    rmdirSync(directory);
  }
}
