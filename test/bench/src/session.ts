import type { BenchNode } from './bench-node.js';
import type { Cleanup } from './cleanup.js';
import type { Repetitions } from './options.js';
import type { Bundle } from './peers/bundle-runtimes.js';
import type { Podman } from './peers/podman.js';
import type { Workplace } from './workplace.js';

/** What every row may use. */
export interface Session {
  readonly cleanup: Cleanup;
  readonly workplace: Workplace;
  readonly repetitions: Repetitions;
  readonly podman: Podman;
  readonly bundle: Bundle;
  /** Adds a sentence to the notes below the table. */
  note(sentence: string): void;
}

export interface NodeSession extends Session {
  /** The node that most rows of a node are measured on: all services in one process. */
  readonly node: BenchNode;
}
