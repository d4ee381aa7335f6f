import type { Command } from 'commander';
import type { Context } from './context.js';

/** A file of verbs: adds flags and action to the command that was asked for. */
export interface VerbModule {
  readonly configure: (command: Command, context: () => Context) => void;
}

export interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly group: 'Containers' | 'Images' | 'Volumes' | 'Cluster' | 'Node';
  readonly hidden?: boolean;
  /** Exit code when the words make no sense, or gantry itself fails. */
  readonly failureCode?: number;
  readonly load: () => Promise<VerbModule['configure']>;
}
