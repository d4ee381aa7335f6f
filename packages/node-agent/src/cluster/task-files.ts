import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { membershipPaths } from '@gantry/membership';
import { parseTaskRecord, type TaskRecord } from './task-record.js';

/**
 * The tasks of this node, one file each, so that an agent that starts while control is away knows what it is to run. Not
 * synced: what a power loss takes, control tells again.
 */
export class TaskFiles {
  readonly #directory: string;

  constructor(stateDirectory: string) {
    this.#directory = join(membershipPaths(stateDirectory).directory, 'tasks');
  }

  load(): TaskRecord[] {
    let names: string[];
    try {
      names = readdirSync(this.#directory);
    } catch {
      return [];
    }
    return names.flatMap((name) => {
      const match = /^([a-z0-9]+)\.json$/.exec(name);
      const record =
        match?.[1] === undefined
          ? undefined
          : parseTaskRecord(readFileSync(join(this.#directory, name), 'utf8'), match[1]);
      return record === undefined ? [] : [record];
    });
  }

  /** Holds the credential of the task's registry: 0600. */
  write(record: TaskRecord): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const path = this.#path(record.task.id);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  remove(id: string): void {
    rmSync(this.#path(id), { force: true });
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}
