import type { RuntimeHook, RuntimeHooks } from '@gantry/oci';
import { hookKind, planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';

/** What hooks are told of the container beside its pid and status (runtime-spec, "State"). */
export interface HookState {
  readonly ociVersion: string;
  readonly id: string;
  readonly bundle: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const KINDS = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;

/** Refuses hooks that cannot be run, whenever they would be. Pure; throws SpecRefusal. */
export function checkHooks(hooks: RuntimeHooks | undefined): void {
  for (const kind of KINDS)
    for (const [index, { path, timeout }] of (hooks?.[kind] ?? []).entries()) {
      const where = `hooks.${kind}[${index}]`;
      if (typeof path !== 'string' || !path.startsWith('/'))
        refuse(`${where}.path is ${JSON.stringify(path)}, which is not an absolute path`);
      if (timeout !== undefined && !(Number.isInteger(timeout) && timeout > 0 && timeout < 2 ** 21))
        refuse(`${where}.timeout is ${JSON.stringify(timeout)}, which is not a number of seconds above 0`);
    }
}

function writeHook(plan: PlanWriter, kind: number, hook: RuntimeHook): void {
  plan.add(planTag.hook, (record) =>
    record
      .u32(kind)
      .u32(hook.timeout ?? 0)
      .u32(hook.env === undefined ? 0 : 1)
      .string(withoutNul(hook.path, 'hook path'))
      .strings((hook.args ?? [hook.path]).map((word) => withoutNul(word, 'hook args')))
      .strings((hook.env ?? []).map((word) => withoutNul(word, 'hook env'))),
  );
}

/** Those on the way to the container's command; poststart and poststop come later and from elsewhere (hooks.ts). */
export function writeHooks(plan: PlanWriter, hooks: RuntimeHooks | undefined, state: HookState): void {
  checkHooks(hooks);
  const before = plan.length;
  for (const kind of ['prestart', 'createRuntime', 'createContainer', 'startContainer'] as const)
    for (const hook of hooks?.[kind] ?? []) writeHook(plan, hookKind[kind], hook);
  if (plan.length === before) return;
  const { ociVersion, id, bundle, annotations } = state;
  const head = JSON.stringify({ ociVersion, id });
  const tail = JSON.stringify({ bundle, ...(annotations === undefined ? {} : { annotations }) });
  // The launcher puts status and pid between: {"ociVersion":…,"id":…,"status":"│creating│","pid":│7│,"bundle":…}
  plan.add(planTag.state, (record) =>
    record
      .string(`${head.slice(0, -1)},"status":"`)
      .string(`,${tail.slice(1)}`)
      .string(withoutNul(bundle, 'bundle')),
  );
}
