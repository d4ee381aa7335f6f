import type { HookState } from './hook-plan.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { withoutNul } from './refusal.js';
import type { SeccompListener } from './seccomp.js';

/** The container that the filtered process is of. */
export interface ListenedContainer extends HookState {
  /** Pid of the container's first process; undefined while it is the one being made. */
  readonly pid?: number;
}

/**
 * What the agent is sent with the listener ("The Container Process State" of the runtime-spec), in parts: the launcher puts the
 * process's pid between them, {"fds":["seccompFd"],"pid":│7│,"state":{…,"pid":│7│,…}}.
 */
export function writeSeccompListener(
  plan: PlanWriter,
  listener: SeccompListener,
  { ociVersion, id, bundle, annotations, pid }: ListenedContainer,
): void {
  const head = JSON.stringify({ ociVersion, fds: ['seccompFd'] });
  const { metadata } = listener;
  const between = metadata === undefined ? '' : `,"metadata":${JSON.stringify(metadata)}`;
  const state = JSON.stringify({ ociVersion, id, status: pid === undefined ? 'creating' : 'running' });
  const tail = JSON.stringify({ bundle, ...(annotations === undefined ? {} : { annotations }) });
  const toPid = `${between},"state":${state.slice(0, -1)},"pid":`;
  const fromPid = `,${tail.slice(1)}}`;
  const rest = pid === undefined ? [toPid, fromPid] : [`${toPid}${pid}${fromPid}`];
  plan.add(planTag.seccompListener, (record) =>
    record
      .string(listener.path)
      .u32(listener.isAsked ? 1 : 0)
      .strings([`${head.slice(0, -1)},"pid":`, ...rest].map((part) => withoutNul(part, 'annotations'))),
  );
}
