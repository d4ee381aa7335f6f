import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Workplace } from '../workplace.js';
import type { Bundle } from './bundle-runtimes.js';
import type { PeerWorld } from './peer-world.js';

const source = fileURLToPath(new URL('../../native/kernel-floor.c', import.meta.url));

/** Milliseconds of each start that is nothing but system calls: what no runtime can go below. */
export async function measureKernelFloor(
  world: PeerWorld,
  workplace: Workplace,
  bundle: Bundle,
  count: number,
): Promise<number[]> {
  const program = join(workplace.directory, 'kernel-floor');
  await world.mustRun('cc', ['-O2', '-static', '-Wall', '-Werror', source, '-o', program]);
  const lines = await world.mustRun(program, [bundle.rootfs, String(count)]);
  return lines
    .trim()
    .split('\n')
    .map((nanoseconds) => Number(nanoseconds) / 1e6);
}
