import { propagationNamed, type MountOptions } from './mount-options.js';
import { mountFlag, planTag, type PlanWriter } from './plan-format.js';
import { withoutNul } from './refusal.js';

const PRIVATE = propagationNamed('private') ?? 0n;

export function writeFilesystem(
  plan: PlanWriter,
  mount: {
    type: string;
    source: string;
    target: string;
    attributes: bigint;
    parameters: MountOptions['parameters'];
    tolerated: boolean;
  },
): void {
  plan.add(planTag.mountFilesystem, (record) => {
    record.string(mount.type).string(mount.source).string(mount.target);
    record
      .u32(mount.tolerated ? mountFlag.tolerated : 0)
      .u64(mount.attributes)
      .u32(mount.parameters.length);
    for (const { key, value } of mount.parameters)
      record
        .u32(value === undefined ? 0 : 1)
        .string(withoutNul(key, 'mount option'))
        .string(withoutNul(value ?? '', 'mount option'));
  });
}

export function writeBind(
  plan: PlanWriter,
  source: string,
  target: string,
  options: MountOptions,
  tolerated = false,
): void {
  const flags =
    (options.recursive ? mountFlag.recursive : 0) |
    (options.idmap ? mountFlag.idmap : 0) |
    (options.recursiveAttributes ? mountFlag.recursiveAttributes : 0) |
    (tolerated ? mountFlag.tolerated : 0);
  const propagation = options.propagation === 0n ? PRIVATE : options.propagation;
  plan.add(planTag.mountBind, (record) =>
    record.string(source).string(target).u32(flags).u64(options.set).u64(options.clear).u64(propagation),
  );
}
