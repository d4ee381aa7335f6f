import { statSync } from 'node:fs';
import { readKernelFileIfPresent } from './cgroup-files.js';

/** What went through one interface, as /proc/<pid>/net/dev counts it. */
export interface InterfaceFigures {
  readonly name: string;
  readonly receiveBytes: number;
  readonly receivePackets: number;
  readonly receiveErrors: number;
  readonly receiveDropped: number;
  readonly transmitBytes: number;
  readonly transmitPackets: number;
  readonly transmitErrors: number;
  readonly transmitDropped: number;
}

interface InterfaceFamily {
  readonly name: string;
  readonly help: string;
  readonly value: (figures: InterfaceFigures) => number;
}

/** Seen from inside the container: what it receives is what its side of the cable receives. */
export const interfaceFamilies: readonly InterfaceFamily[] = [
  ofInterface('receive_bytes', 'Bytes received.', (figures) => figures.receiveBytes),
  ofInterface('receive_packets', 'Packets received.', (figures) => figures.receivePackets),
  ofInterface('receive_errors', 'Errors while receiving.', (figures) => figures.receiveErrors),
  ofInterface(
    'receive_packets_dropped',
    'Packets dropped on receiving.',
    (figures) => figures.receiveDropped,
  ),
  ofInterface('transmit_bytes', 'Bytes sent.', (figures) => figures.transmitBytes),
  ofInterface('transmit_packets', 'Packets sent.', (figures) => figures.transmitPackets),
  ofInterface('transmit_errors', 'Errors while sending.', (figures) => figures.transmitErrors),
  ofInterface(
    'transmit_packets_dropped',
    'Packets dropped on sending.',
    (figures) => figures.transmitDropped,
  ),
];

function ofInterface(name: string, help: string, value: InterfaceFamily['value']): InterfaceFamily {
  return { name: `container_network_${name}_total`, help, value };
}

/** Parses net/dev, see proc_pid_net(5); loopback is left out, as cAdvisor leaves it out. */
export function parseInterfaces(text: string): readonly InterfaceFigures[] {
  return text.split('\n').flatMap((line) => {
    const at = line.indexOf(':');
    const name = line.slice(0, at).trim();
    if (at < 0 || name === 'lo') return [];
    const counts = line
      .slice(at + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    // Eight columns of what came in, eight of what went out.
    if (counts.length < 16) return [];
    const column = (index: number): number => counts[index] ?? 0;
    return [
      {
        name,
        receiveBytes: column(0),
        receivePackets: column(1),
        receiveErrors: column(2),
        receiveDropped: column(3),
        transmitBytes: column(8),
        transmitPackets: column(9),
        transmitErrors: column(10),
        transmitDropped: column(11),
      },
    ];
  });
}

/**
 * The interfaces that a process sees. None when it has gone, and none when its network is ours: what a container in the
 * host's network receives cannot be told from what the host does.
 */
export function readInterfaces(pid: number): readonly InterfaceFigures[] {
  const path = `/proc/${pid}/net/dev`;
  const theirs = networkNumber(path);
  if (theirs === undefined || theirs === networkNumber('/proc/self/net/dev')) return [];
  try {
    return parseInterfaces(readKernelFileIfPresent(path) ?? '');
  } catch {
    // A process that is just ending answers in several ways.
    return [];
  }
}

/** Each network namespace has a net/dev of its own; its inode tells them apart without the right to trace the process. */
function networkNumber(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}
