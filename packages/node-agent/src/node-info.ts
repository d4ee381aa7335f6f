import { readFileSync } from 'node:fs';
import { arch, cpus, hostname, release, totalmem } from 'node:os';
import type { AgentContext } from './context.js';
import type { Registry } from './registry.js';

function operatingSystem(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}

/** Changes with every boot of the machine. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

export function countStates(registry: Registry): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { life } of registry.all()) counts[life.state] = (counts[life.state] ?? 0) + 1;
  return counts;
}

export function nodeInfo(context: AgentContext, registry: Registry) {
  const counts = countStates(registry);
  const running = (counts.running ?? 0) + (counts.restarting ?? 0);
  const paused = counts.paused ?? 0;
  return {
    nodeId: context.nodeId,
    hostname: hostname(),
    kernel: release(),
    architecture: arch() === 'x64' ? 'x86_64' : arch() === 'arm64' ? 'aarch64' : arch(),
    cpus: cpus().length,
    memoryBytes: totalmem(),
    containersRunning: running,
    containersPaused: paused,
    containersStopped: registry.size - running - paused,
    operatingSystem: operatingSystem(),
    version: context.version,
  };
}
