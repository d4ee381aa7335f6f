import type { Init, cgroup, node } from '@gantry/protocol';
import { present } from './context.js';
import type { Field } from './field.js';
import { ulimitNames } from './linux-names.js';
import { parseCpus } from './values.js';

const cpuPeriodUs = 100_000;
const minimumMemoryBytes = 6 * 1024 * 1024;

/** Limits: those of `deploy.resources.limits`, and the older keys of the service beside them. */
export function readResources(service: Field): Init<cgroup.Resources> {
  const limits = service.get('deploy')?.get('resources')?.get('limits');
  service.get('deploy')?.get('resources')?.entries();
  limits?.entries();
  const memoryLimitBytes = one(
    limits?.get('memory'),
    service.get('mem_limit'),
    'deploy.resources.limits.memory',
    (field) => {
      const bytes = field.bytes();
      if (bytes !== undefined && bytes > 0 && bytes < minimumMemoryBytes)
        field.refuse('is less than 6 MiB, the least a container can run in');
      return bytes || undefined;
    },
  );
  const cpus = one(limits?.get('cpus'), service.get('cpus'), 'deploy.resources.limits.cpus', (field) =>
    field.parse((text) => (/^0*\.?0*$/.test(text) ? { ok: true, value: 0 } : parseCpus(text))),
  );
  const pidsLimit = one(
    limits?.get('pids'),
    service.get('pids_limit'),
    'deploy.resources.limits.pids',
    (field) => field.integer({ minimum: -1 }),
  );
  const memorySwap = service.get('memswap_limit');
  const memorySwapLimitBytes = memorySwap?.text() === '-1' ? -1 : memorySwap?.bytes();
  const memoryReservationBytes = service.get('mem_reservation')?.bytes();
  if (memoryLimitBytes !== undefined) {
    if (
      memorySwapLimitBytes !== undefined &&
      memorySwapLimitBytes > 0 &&
      memorySwapLimitBytes < memoryLimitBytes
    )
      memorySwap?.refuse('is less than the memory limit; it counts memory and swap together');
    if (memoryReservationBytes !== undefined && memoryReservationBytes > memoryLimitBytes)
      service.get('mem_reservation')?.refuse('is more than the memory limit');
  }
  const quota = service.get('cpu_quota');
  const period = service.get('cpu_period');
  const limited = cpus !== undefined && cpus > 0;
  if (limited) (quota ?? period)?.refuseKey('says the same as cpus, another way');
  return present({
    memoryLimitBytes,
    memorySwapLimitBytes,
    memoryReservationBytes,
    cpuQuotaUs: limited ? Math.round(cpus * cpuPeriodUs) : quota?.integer({ minimum: -1 }),
    cpuPeriodUs: limited ? cpuPeriodUs : period?.parse(parsePeriod),
    cpuShares: service.get('cpu_shares')?.integer({ minimum: 2, maximum: 262_144 }),
    cpusetCpus: service
      .get('cpuset')
      ?.parse((text) =>
        /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)
          ? { ok: true, value: text }
          : { ok: false, why: `is ${JSON.stringify(text)}, not a list like 0-3,7` },
      ),
    pidsLimit: pidsLimit === 0 ? undefined : pidsLimit,
    oomKillDisable: service.get('oom_kill_disable')?.boolean() === true ? true : undefined,
  });
}

/** Of two keys that say the same, the one that is there; when both are they must agree. */
function one<T>(
  newer: Field | undefined,
  older: Field | undefined,
  newerKey: string,
  read: (field: Field) => T | undefined,
): T | undefined {
  const value = newer === undefined ? undefined : read(newer);
  const other = older === undefined ? undefined : read(older);
  if (newer !== undefined && older !== undefined && value !== other)
    older.refuse(`says another thing than ${newerKey}: keep one of them`);
  return value ?? other;
}

/** Microseconds, or a duration. */
function parsePeriod(text: string): { ok: true; value: number } | { ok: false; why: string } {
  const match = /^(\d{1,9})(us|ms)?$/.exec(text);
  const value = Number(match?.[1]) * (match?.[2] === 'ms' ? 1000 : 1);
  return value >= 1_000 && value <= 1_000_000
    ? { ok: true, value }
    : { ok: false, why: `is ${JSON.stringify(text)}, not a period from 1,000 to 1,000,000 microseconds` };
}

/** `nofile: 1024` or `nofile: { soft: 1024, hard: 2048 }`. */
export function readUlimits(field: Field): readonly Init<node.UlimitSpec>[] {
  return field.entries().flatMap(([name, item]) => {
    if (!ulimitNames.has(name)) return item.refuseKey('is no limit that Linux has') ?? [];
    if (!item.isMapping) {
      const both = item.integer({ minimum: -1 });
      return both === undefined ? [] : [{ name, soft: both, hard: both }];
    }
    const [softField, hardField] = [item.get('soft'), item.get('hard')];
    if (softField === undefined || hardField === undefined)
      return item.refuse(`has no ${softField === undefined ? 'soft' : 'hard'} limit`) ?? [];
    const [soft, hard] = [softField.integer({ minimum: -1 }), hardField.integer({ minimum: -1 })];
    if (soft === undefined || hard === undefined) return [];
    if (hard !== -1 && (soft === -1 || soft > hard)) softField.refuse('is above the hard limit');
    return [{ name, soft, hard }];
  });
}
