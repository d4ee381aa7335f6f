import { propagationNamed, type MountOptions } from './mount-options.js';
import { mountFlag, planTag, type PlanWriter, type RecordWriter } from './plan-format.js';
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
    copyUp?: boolean;
    propagation?: bigint;
  },
): void {
  plan.add(planTag.mountFilesystem, (record) => {
    record.string(mount.type).string(mount.source).string(mount.target);
    const keepsMode = mount.parameters.some(({ key }) => key === 'mode');
    record
      .u32(
        (mount.tolerated ? mountFlag.tolerated : 0) |
          (mount.copyUp === true ? mountFlag.copyUp : 0) |
          (keepsMode ? mountFlag.ownMode : 0),
      )
      .u64(mount.attributes)
      .u64(mount.propagation ?? 0n);
    writeParameters(record, mount.parameters);
  });
}

function writeParameters(record: RecordWriter, parameters: MountOptions['parameters']): void {
  record.u32(parameters.length);
  for (const { key, value } of parameters)
    record
      .u32(value === undefined ? 0 : 1)
      .string(withoutNul(key, 'mount option'))
      .string(withoutNul(value ?? '', 'mount option'));
}

/** Of what is mounted at `target` by then. */
export function writeRemount(plan: PlanWriter, target: string, options: MountOptions): void {
  plan.add(planTag.remount, (record) => {
    record.string(target).u64(options.set).u64(options.clear).u64(options.propagation);
    writeParameters(record, options.parameters);
  });
}

/** Lines of uid_map(5) and gid_map(5). */
export interface MountIdMaps {
  readonly uids: string;
  readonly gids: string;
}

export function writeBind(
  plan: PlanWriter,
  source: string,
  target: string,
  options: MountOptions,
  tolerated = false,
  ids: MountIdMaps | undefined = undefined,
): void {
  const flags =
    (options.recursive ? mountFlag.recursive : 0) |
    (options.idmap ? mountFlag.idmap : 0) |
    (tolerated ? mountFlag.tolerated : 0);
  const propagation = options.propagation === 0n ? PRIVATE : options.propagation;
  plan.add(planTag.mountBind, (record) =>
    record
      .string(source)
      .string(target)
      .u32(flags)
      .u64(options.set)
      .u64(options.clear)
      .u64(options.recursiveSet)
      .u64(options.recursiveClear)
      .u64(propagation)
      .string(ids?.uids ?? '')
      .string(ids?.gids ?? ''),
  );
}
