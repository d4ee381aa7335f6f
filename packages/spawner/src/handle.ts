import type { PlanWriter } from './plan-format.js';
import { withoutNul } from './refusal.js';

/** A kernel object by name and number; the shim opens the path and compares. */
export interface Handle {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

export function writeHandle(plan: PlanWriter, tag: number, handle: Handle): void {
  plan.add(tag, (record) =>
    record.string(withoutNul(handle.path, 'handle')).u64(BigInt(handle.device)).u64(BigInt(handle.inode)),
  );
}
