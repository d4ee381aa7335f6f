import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { isRoot } from '@gantry/test-harness';

/** Emulated, on a busy machine. */
const bootLimitMs = 280_000;

export const skip =
  process.arch !== 'x64'
    ? 'this machine cannot: the guest is x86-64'
    : !isRoot && 'needs root, to keep owners on the disk of the guest';

/** Boots what is in the directory; resolves with all that the guest wrote to its console, once it has powered off. */
export async function boot(directory: string, kernelParameters = ''): Promise<string> {
  const hardware = [
    '-accel',
    'tcg,thread=multi',
    '-smp',
    '2',
    '-m',
    '1536',
    '-nographic',
    '-no-reboot',
    '-nic',
    'none',
  ];
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...hardware,
      ...['-kernel', join(directory, 'vmlinuz'), '-initrd', join(directory, 'initramfs.gz')],
      ...['-append', `console=ttyS0 quiet loglevel=1 panic=-1 ${kernelParameters}`],
      ...['-drive', `file=${join(directory, 'disk.img')},if=virtio,format=raw,snapshot=on`],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], timeout: bootLimitMs, killSignal: 'SIGKILL' },
  );
  let console = '';
  for await (const chunk of machine.stdout) console += String(chunk);
  const text = console.replaceAll('\r', '');
  assert.match(text, /^guest: done$/m, `the guest did not finish:\n${text.slice(-4_000)}`);
  return text;
}
