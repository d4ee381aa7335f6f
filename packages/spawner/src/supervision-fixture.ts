// How the processes of tests are watched, where the test is about something else.
import type { CallerSupervision, ShimSupervision } from './supervision.js';

export const plainShim: ShimSupervision = {
  kind: 'shim',
  shimCgroups: [],
  log: undefined,
  openStdin: false,
  stdinOnce: false,
  holdOutput: false,
  attempt: 1,
};

/** In the foreground, started at once. */
export const plainCaller: CallerSupervision = {
  kind: 'caller',
  awaitStart: false,
  detach: false,
  consoleSocket: undefined,
  preservedDescriptors: 0,
  noPivot: false,
  noNewKeyring: false,
  awaitPlacement: false,
};
