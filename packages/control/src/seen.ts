import { readFileSync } from 'node:fs';
import { membershipPaths, writeClusterFile } from '@gantry/membership';

/** What this control node remembers of the store, apart from the store. */
export interface Seen {
  readonly clusterId: string;
  readonly generation: number;
  readonly revision: number;
}

/** How far the remembered revision may lag behind, milliseconds: a store of the past is older by more than that. */
const writeIntervalMs = 2_000;

/** The highest revision seen of the store's newest generation: `<state_dir>/cluster/control.json`. */
export class SeenStore {
  readonly #path: string;
  #seen: Seen | undefined;
  #writtenAt = -Infinity;

  constructor(stateDirectory: string) {
    this.#path = membershipPaths(stateDirectory).controlSeen;
    this.#seen = read(this.#path);
  }

  /** Undefined until a store was seen whole. */
  get(clusterId: string, generation: number): Seen | undefined {
    const seen = this.#seen;
    return seen?.clusterId === clusterId && seen.generation === generation ? seen : undefined;
  }

  note(seen: Seen): void {
    const before = this.#seen;
    const isNew = before?.clusterId !== seen.clusterId || before.generation !== seen.generation;
    if (!isNew && before.revision >= seen.revision) return;
    this.#seen = seen;
    if (!isNew && performance.now() - this.#writtenAt < writeIntervalMs) return;
    this.#writtenAt = performance.now();
    writeClusterFile(this.#path, `${JSON.stringify(seen)}\n`);
  }
}

function read(path: string): Seen | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Seen;
  } catch {
    return undefined;
  }
}
