/** What the driver in the node's network is asked to do, and what it answers: one JSON document each way. */
export type DriverRequest =
  | {
      readonly kind: 'starts';
      readonly image: string;
      readonly warmUp: number;
      /** At most so many; the end of the driver's input ends it earlier. */
      readonly count: number;
    }
  | { readonly kind: 'many'; readonly image: string; readonly count: number; readonly parallel: number }
  | { readonly kind: 'sandboxes'; readonly count: number; readonly warmUp: number };

/** Durations are milliseconds. */
export interface StartSample {
  /** When the request was sent, wall clock. */
  readonly sentUnixMs: number;
  /** CreateContainer sent → StartContainer answered: the container's program has been executed. */
  readonly running: number;
  /** The part of it that is StartContainer. */
  readonly startAlone: number;
  /** CreateContainer sent → exit code known. */
  readonly exited: number;
  /** RemoveContainer. */
  readonly removed: number;
}

export interface StartsAnswer {
  readonly samples: readonly StartSample[];
}

export interface ManyAnswer {
  /** First request → last of them runs. */
  readonly started: number;
  /** First request → last of them is gone. */
  readonly removed: number;
}

export interface SandboxesAnswer {
  readonly attached: readonly number[];
}

export interface DriverAnswers {
  readonly starts: StartsAnswer;
  readonly many: ManyAnswer;
  readonly sandboxes: SandboxesAnswer;
}

export interface DriverTask {
  readonly natsUrl: string;
  readonly nodeId: string;
  readonly keyFile: string;
  readonly request: DriverRequest;
}
