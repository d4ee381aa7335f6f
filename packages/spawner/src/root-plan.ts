import type { RuntimeLinux } from '@gantry/oci';
import type { ContainerInput } from './container-plan.js';
import { propagationNamed } from './mount-options.js';
import { writeHandle } from './handle.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';

const MOST_LAYERS = 256;
const PRIVATE = propagationNamed('private') ?? 0n;

export function writeRoot(plan: PlanWriter, input: ContainerInput): void {
  if (input.lowerdirs.length > MOST_LAYERS)
    refuse(`the root file system has more than ${MOST_LAYERS} layers`);
  for (const layer of input.lowerdirs) writeHandle(plan, planTag.layer, layer);
  if (input.lowerdirs.length > 0) {
    if (input.writable !== undefined) writeHandle(plan, planTag.writable, input.writable);
    return;
  }
  const path = input.spec.root?.path ?? refuse('root is missing');
  if (!path.startsWith('/')) refuse(`root.path ${JSON.stringify(path)} is not absolute`);
  // A user namespace that is handed over is nobody's in particular; one with mappings of the spec's own owns its root already.
  const mapped = input.userNamespace === undefined ? 0 : 1;
  plan.add(planTag.rootDirectory, (record) => record.string(withoutNul(path, 'root.path')).u32(mapped));
}

/** Paths over which nothing shows or may be written, and how the root's mounts spread. Over everything else: written last. */
export function writeRootRestrictions(plan: PlanWriter, linux: RuntimeLinux): void {
  // Each once: a path named twice would be covered twice.
  for (const path of new Set(linux.readonlyPaths))
    plan.add(planTag.readonly, (record) => record.string(withoutNul(path, 'linux.readonlyPaths')));
  for (const path of new Set(linux.maskedPaths))
    plan.add(planTag.mask, (record) => record.string(withoutNul(path, 'linux.maskedPaths')));
  const { rootfsPropagation } = linux;
  if (rootfsPropagation !== undefined && rootfsPropagation !== '') {
    const propagation =
      propagationNamed(rootfsPropagation) ??
      refuse(`linux.rootfsPropagation is ${JSON.stringify(rootfsPropagation)}, which is not known`);
    const recursive = rootfsPropagation.startsWith('r') ? 1 : 0;
    // Private already.
    if (propagation !== PRIVATE)
      plan.add(planTag.rootPropagation, (record) => record.u64(propagation).u32(recursive));
  }
}
