import { arch, cpus, hostname, release, totalmem } from 'node:os';
import { nodeServices, optionalServices } from '@gantry/bus';
import type { control, Init } from '@gantry/protocol';
import type { Container } from '../container.js';
import type { AgentContext } from '../context.js';
import { isActive } from '../lifecycle.js';
import type { Registry } from '../registry.js';
import { taskIdOf } from './task-labels.js';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** What it takes, or takes again in a moment. */
const holds = ({ life }: Container): boolean => isActive(life) || life.state === 'restarting';

/** Thousandths of a CPU that a container may use at most; 0 without a limit. */
export function cpuLimitMillis({ record }: Container): number {
  const { cpuQuotaUs = 0, cpuPeriodUs } = record.spec.resources ?? {};
  return cpuQuotaUs <= 0 ? 0 : Math.ceil((cpuQuotaUs * 1000) / (cpuPeriodUs || 100_000));
}

function portsOf({ record }: Container): Init<control.HostPort>[] {
  return record.network.ports.map(({ hostPort, protocol, hostIp }) => ({
    port: hostPort,
    protocol: protocol || 'tcp',
    address: hostIp,
  }));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** What this node tells control of itself, read anew for every lease. */
export function nodeStatus(
  { version, bootId }: AgentContext,
  registry: Registry,
  role: 'control' | 'worker',
): Init<control.NodeStatus> {
  const all = registry.all();
  const local = all.filter((container) => holds(container) && taskIdOf(container) === undefined);
  return {
    hostname: hostname(),
    operatingSystem: 'linux',
    architecture: ARCHITECTURES[arch()] ?? arch(),
    kernel: release(),
    version,
    cpuMillis: cpus().length * 1000,
    memoryBytes: totalmem(),
    localCpuMillis: sum(local.map(cpuLimitMillis)),
    localMemoryBytes: sum(local.map(({ record }) => record.spec.resources?.memoryLimitBytes ?? 0)),
    localPorts: local.flatMap(portsOf),
    services: nodeServices
      .filter((name) => role === 'control' || !optionalServices.has(name))
      .map((name) => ({ name, version })),
    containersRunning: all.filter(({ running }) => running).length,
    bootId,
  };
}
