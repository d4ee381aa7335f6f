import type { RuntimeProcess } from '@gantry/oci';
import type { Handle } from './handle.js';
import { planFlag, planTag, PlanWriter } from './plan-format.js';
import { type ProcessSurroundings, writeProcess } from './process-plan.js';
import { withoutNul } from './refusal.js';
import type { PlannedSeccomp } from './seccomp.js';

/** Everything a further process in a running container is made of. */
export interface ExecInput extends ProcessSurroundings {
  readonly process: RuntimeProcess;
  readonly openStdin: boolean;
  readonly holdOutput: boolean;
  readonly directory: string;
  readonly target: { readonly pid: number; readonly startTicks: bigint; readonly namespaces: bigint };
  readonly cgroups: readonly Handle[];
  readonly shimCgroups: readonly Handle[];
  /** The container's own filter. */
  readonly seccomp: PlannedSeccomp | undefined;
  readonly noNewPrivileges: boolean;
}

/** Pure; throws SpecRefusal. */
export function compileExec(input: ExecInput): Buffer {
  const { process, target } = input;
  const plan = new PlanWriter()
    .add(planTag.flags, (record) =>
      record.u32(
        planFlag.exec |
          planFlag.stdinOnce |
          (process.terminal === true ? planFlag.terminal : 0) |
          (input.openStdin ? planFlag.openStdin : 0) |
          (input.holdOutput ? planFlag.holdOutput : 0) |
          (input.noNewPrivileges || process.noNewPrivileges === true ? planFlag.noNewPrivileges : 0),
      ),
    )
    .add(planTag.directory, (record) => record.string(withoutNul(input.directory, 'runtime directory')))
    .add(planTag.execTarget, (record) =>
      record.u32(target.pid).u64(target.startTicks).u64(target.namespaces),
    );
  for (const [tag, handles] of [
    [planTag.shimCgroup, input.shimCgroups],
    [planTag.cgroup, input.cgroups],
  ] as const)
    for (const handle of handles)
      plan.add(tag, (record) =>
        record.string(handle.path).u64(BigInt(handle.device)).u64(BigInt(handle.inode)),
      );
  writeProcess(plan, process, input.seccomp, input);
  return plan.finish();
}
