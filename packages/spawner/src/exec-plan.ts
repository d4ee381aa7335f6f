import type { RuntimeProcess } from '@gantry/oci';
import { type Handle, writeHandle } from './handle.js';
import { planFlag, planTag, PlanWriter } from './plan-format.js';
import { type ProcessSurroundings, writeProcess } from './process-plan.js';
import type { HookState } from './hook-plan.js';
import type { PlannedSeccomp } from './seccomp.js';
import { writeSeccompListener } from './seccomp-state.js';
import { type Supervision, supervisionFlags, writeSupervision } from './supervision.js';

/** Everything a further process in a running container is made of. */
export interface ExecInput extends ProcessSurroundings {
  readonly process: RuntimeProcess;
  readonly supervision: Supervision;
  readonly directory: string;
  readonly target: { readonly pid: number; readonly startTicks: bigint; readonly namespaces: bigint };
  readonly cgroups: readonly Handle[];
  /** Of the container; for the agent of a seccomp listener. */
  readonly state: HookState;
  /** The container's own filter. */
  readonly seccomp: PlannedSeccomp | undefined;
  readonly noNewPrivileges: boolean;
}

/** Pure; throws SpecRefusal. */
export function compileExec(input: ExecInput): Buffer {
  const { process, target } = input;
  const plan = new PlanWriter().add(planTag.flags, (record) =>
    record.u32(
      planFlag.exec |
        supervisionFlags(input.supervision) |
        (process.terminal === true ? planFlag.terminal : 0) |
        (input.noNewPrivileges || process.noNewPrivileges === true ? planFlag.noNewPrivileges : 0),
    ),
  );
  writeSupervision(plan, input.supervision, input.directory);
  plan.add(planTag.execTarget, (record) =>
    record.u32(target.pid).u64(target.startTicks).u64(target.namespaces),
  );
  for (const handle of input.cgroups) writeHandle(plan, planTag.cgroup, handle);
  if (input.seccomp?.listener !== undefined)
    writeSeccompListener(plan, input.seccomp.listener, { ...input.state, pid: target.pid });
  writeProcess(plan, process, input.seccomp, input);
  return plan.finish();
}
