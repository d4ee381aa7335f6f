import {
  closeSync,
  fdatasync,
  fstatSync,
  fsync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ContainerRecord } from './record.js';
import { parseRecord } from './record.js';

const ID = /^[0-9a-f]{64}$/;

/** What stat(2) counts blocks in, whatever the file system's own are. */
const STAT_BLOCK_BYTES = 512;

const syncData = promisify(fdatasync);
const syncAll = promisify(fsync);

/**
 * Only what waits for a disk is done on a thread; opening, writing to the kernel's cache and closing take less here than
 * the way to a thread and back.
 */
async function syncDirectory(path: string): Promise<void> {
  const directory = openSync(path, 'r');
  try {
    await syncAll(directory);
  } finally {
    closeSync(directory);
  }
}

/**
 * On a full disk the blocks that a record has are all there is, and removing a container must work there above all. One
 * write(2) of so few bytes is not cut in two by a kill; blanks over what is left of a longer text are JSON too. A text
 * that would need another block is refused with `cause` before anything of the old one is gone.
 */
function writeInPlace(path: string, text: string, cause: Error): void {
  const file = openSync(path, 'r+');
  try {
    const { size, blocks } = fstatSync(file);
    const bytes = Buffer.from(text);
    if (bytes.length > Math.max(size, blocks * STAT_BLOCK_BYTES)) throw cause;
    writeSync(
      file,
      Buffer.concat([bytes], Math.max(size, bytes.length)).fill(' ', bytes.length),
      0,
      undefined,
      0,
    );
  } finally {
    closeSync(file);
  }
}

/** `<state_dir>/containers/<id>/container.json`: the agent alone writes there. */
export class RecordStore {
  readonly directory: string;

  constructor(stateDirectory: string) {
    this.directory = join(stateDirectory, 'containers');
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
  }

  /** The container's own directory: record, logs, generated files. */
  pathOf(id: string, ...names: readonly string[]): string {
    return join(this.directory, id, ...names);
  }

  /** Makes the directory and the first record; `durable` outlives a power loss. */
  async create(record: ContainerRecord, durable: boolean): Promise<void> {
    mkdirSync(this.pathOf(record.id), { mode: 0o700 });
    if (!durable) {
      this.write(record);
      return;
    }
    await this.#replaceDurably(record);
    await Promise.all([syncDirectory(this.pathOf(record.id)), syncDirectory(this.directory)]);
  }

  /** Replaces the record; outlives this process, not a power loss. Synchronous, so that writes keep their order. */
  write(record: ContainerRecord): void {
    const path = this.pathOf(record.id, 'container.json');
    const text = JSON.stringify(record);
    try {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (error) {
      rmSync(`${path}.new`, { force: true });
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      writeInPlace(path, text, error);
    }
  }

  /** Replaces the record; outlives a power loss. */
  async writeDurably(record: ContainerRecord): Promise<void> {
    await this.#replaceDurably(record);
    await syncDirectory(this.pathOf(record.id));
  }

  /** All but the directory, in which the new name has yet to be synced. */
  async #replaceDurably(record: ContainerRecord): Promise<void> {
    const path = this.pathOf(record.id, 'container.json');
    const file = openSync(`${path}.sync`, 'w', 0o600);
    try {
      writeFileSync(file, JSON.stringify(record));
      await syncData(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}.sync`, path);
  }

  /** Removes the directory; the record goes first, so that a half-removed one is never read as a container. */
  remove(id: string): Promise<void> {
    return new Promise((resolve) => {
      rmSync(this.pathOf(id, 'container.json'), { force: true });
      rmSync(this.pathOf(id), { recursive: true, force: true });
      resolve();
    });
  }

  /** Every readable record, and the ids of directories that hold none. */
  async load(): Promise<{ records: ContainerRecord[]; broken: string[] }> {
    const records: ContainerRecord[] = [];
    const broken: string[] = [];
    for (const id of await readdir(this.directory)) {
      if (!ID.test(id)) continue;
      const text = await readFile(this.pathOf(id, 'container.json'), 'utf8').catch(() => '');
      const record = parseRecord(text, id);
      if (record === undefined) broken.push(id);
      else records.push(record);
    }
    return { records, broken };
  }
}
