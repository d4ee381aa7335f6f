import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isContainerId } from './layout.js';

/** What the kernel does not keep about a container's cgroup. */
export interface CgroupRecord {
  readonly id: string;
  /** Labels of the metrics. */
  readonly name: string;
  readonly image: string;
  /** When the cgroup was made. */
  readonly createdAtMs: number;
}

/**
 * One small file for each cgroup on tmpfs: `<run_dir>/cgroups/<id>.json`. A lost record costs labels, nothing else;
 * hence renamed into place but never synced.
 */
export class CgroupRecords {
  readonly #directory: string;
  readonly #records = new Map<string, CgroupRecord>();

  constructor(runDirectory: string) {
    this.#directory = join(runDirectory, 'cgroups');
  }

  /** Reads all records; one that cannot be read is dropped. */
  load(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#directory)) {
      const record = name.endsWith('.json') ? parseRecord(join(this.#directory, name)) : undefined;
      if (record !== undefined && `${record.id}.json` === name) this.#records.set(record.id, record);
      else rmSync(join(this.#directory, name), { force: true });
    }
  }

  get(id: string): CgroupRecord | undefined {
    return this.#records.get(id);
  }

  ids(): readonly string[] {
    return [...this.#records.keys()];
  }

  save(record: CgroupRecord): void {
    const path = join(this.#directory, `${record.id}.json`);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#records.set(record.id, Object.freeze({ ...record }));
  }

  remove(id: string): void {
    this.#records.delete(id);
    rmSync(join(this.#directory, `${id}.json`), { force: true });
  }

  /** Removes the directory when it is empty; a record of a living container keeps it. */
  removeDirectory(): void {
    if (this.#records.size === 0) rmSync(this.#directory, { force: true, recursive: true });
  }
}

function parseRecord(path: string): CgroupRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, name, image, createdAtMs } = value as Record<string, unknown>;
  if (typeof id !== 'string' || !isContainerId(id)) return undefined;
  if (typeof name !== 'string' || typeof image !== 'string' || typeof createdAtMs !== 'number')
    return undefined;
  return Object.freeze({ id, name, image, createdAtMs });
}
