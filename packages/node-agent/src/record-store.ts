import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerRecord } from './record.js';
import { parseRecord } from './record.js';

const ID = /^[0-9a-f]{64}$/;

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
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
    await mkdir(this.pathOf(record.id), { mode: 0o700 });
    if (!durable) {
      this.write(record);
      return;
    }
    await this.writeDurably(record);
    await syncDirectory(this.directory);
  }

  /** Replaces the record; outlives this process, not a power loss. Synchronous, so that writes keep their order. */
  write(record: ContainerRecord): void {
    const path = this.pathOf(record.id, 'container.json');
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Replaces the record; outlives a power loss. */
  async writeDurably(record: ContainerRecord): Promise<void> {
    const path = this.pathOf(record.id, 'container.json');
    {
      await using file = await open(`${path}.sync`, 'w', 0o600);
      await file.writeFile(JSON.stringify(record));
      await file.datasync();
    }
    await rename(`${path}.sync`, path);
    await syncDirectory(this.pathOf(record.id));
  }

  /** Removes the directory; the record goes first, so that a half-removed one is never read as a container. */
  async remove(id: string): Promise<void> {
    await rm(this.pathOf(id, 'container.json'), { force: true });
    await rm(this.pathOf(id), { recursive: true, force: true });
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
