import type { ExitRecord } from './runtime-records.js';
import type { LogLoss } from './shim-protocol.js';

export interface ExitNotice {
  readonly containerId: string;
  /** Empty for the container's first process. */
  readonly execId: string;
  readonly attempt: number;
  readonly exit: ExitRecord;
}

/** Output of a container that could not be logged: since the last notice, or since its start when it is the first. */
export interface LogLossNotice {
  readonly containerId: string;
  readonly loss: LogLoss;
  /** Why; 0 when it was learnt afterwards. */
  readonly errno: number;
}
