import { planFlag, planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';
import type { Handle } from './handle.js';
import { writeHandle } from './handle.js';

/** A shim stays with the process: holds stdio, writes the log, records the end. */
export interface ShimSupervision {
  readonly kind: 'shim';
  readonly shimCgroups: readonly Handle[];
  readonly log:
    { readonly path: string; readonly maxSizeBytes: number; readonly maxFiles: number } | undefined;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
  readonly holdOutput: boolean;
  readonly attempt: number;
}

/** Whoever started us watches the process; stdio is inherited. */
export interface CallerSupervision {
  readonly kind: 'caller';
  /** Init stands still until somebody connects to `start.sock` in the directory (`openStartDoor`). */
  readonly awaitStart: boolean;
  /** The launcher ends once the process runs; else it stays, relays a terminal and tells how it ended. */
  readonly detach: boolean;
  /** Unix socket that is handed the terminal's other end. */
  readonly consoleSocket: string | undefined;
  /** Unix socket that is sent a pidfd of the process. */
  readonly pidfdSocket?: string | undefined;
  /** Descriptors from 3 on that the process is to have. */
  readonly preservedDescriptors: number;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  /** The stage waits until it has been put into its cgroup by somebody else (a systemd scope). */
  readonly awaitPlacement: boolean;
}

export type Supervision = ShimSupervision | CallerSupervision;

/** Of `TAG_FLAGS`. */
export function supervisionFlags(supervision: Supervision): number {
  if (supervision.kind === 'shim')
    return (
      (supervision.openStdin ? planFlag.openStdin : 0) |
      (supervision.stdinOnce ? planFlag.stdinOnce : 0) |
      (supervision.holdOutput ? planFlag.holdOutput : 0)
    );
  return (
    planFlag.caller |
    (supervision.detach ? planFlag.detach : 0) |
    (supervision.noPivot ? planFlag.noPivot : 0) |
    (supervision.noNewKeyring ? planFlag.keepKeyring : 0) |
    (supervision.awaitPlacement ? planFlag.awaitPlacement : 0)
  );
}

/** Records of how the process is watched; `directory` is the container's or exec's runtime directory. */
export function writeSupervision(plan: PlanWriter, supervision: Supervision, directory: string): void {
  plan.add(planTag.directory, (record) => record.string(withoutNul(directory, 'runtime directory')));
  if (supervision.kind === 'caller') {
    const { consoleSocket, pidfdSocket, preservedDescriptors } = supervision;
    if (preservedDescriptors > 0)
      plan.add(planTag.preservedDescriptors, (record) => record.u32(preservedDescriptors));
    if (consoleSocket !== undefined)
      plan.add(planTag.consoleSocket, (record) => record.string(withoutNul(consoleSocket, 'console socket')));
    if (pidfdSocket !== undefined)
      plan.add(planTag.pidfdSocket, (record) => record.string(withoutNul(pidfdSocket, 'pidfd socket')));
    if (supervision.awaitStart) plan.add(planTag.startSocket);
    return;
  }
  plan.add(planTag.attempt, (record) => record.u32(supervision.attempt));
  const { log } = supervision;
  if (log !== undefined && log.path !== '') {
    if (!log.path.startsWith('/')) refuse(`log.path ${JSON.stringify(log.path)} is not absolute`);
    if (!(log.maxFiles >= 1 && log.maxFiles <= 100))
      refuse(`log.max_files is ${log.maxFiles}, which is not from 1 to 100`);
    plan.add(planTag.log, (record) =>
      record.u64(BigInt(log.maxSizeBytes)).u32(log.maxFiles).string(withoutNul(log.path, 'log.path')),
    );
  }
  for (const handle of supervision.shimCgroups) writeHandle(plan, planTag.shimCgroup, handle);
}
