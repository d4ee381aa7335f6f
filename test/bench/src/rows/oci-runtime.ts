import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { boxImage } from '../bench-node.js';
import { atMostAbove, measured, ratioTo, type Row } from '../row.js';
import type { Session } from '../session.js';
import { median } from '../statistics.js';

const gantryOci = fileURLToPath(new URL('../../../../bin/gantry-oci', import.meta.url));

/** `gantry-oci` where runc and crun stand: alone, and under podman. */
export async function measureOciRuntime({ bundle, podman, repetitions, note }: Session): Promise<Row[]> {
  const runs = repetitions.bundleRuns / 4;
  const nothing = join(bundle.directory, 'nothing');
  mkdirSync(nothing);
  writeFileSync(join(nothing, 'nothing.cjs'), '');
  const node = await bundle.measureCommand(`${process.execPath} ${join(nothing, 'nothing.cjs')}`, runs);
  const runc = await bundle.measure('runc', runs);
  const ours = await bundle.measureCommand(
    `${gantryOci} run --bundle ${bundle.directory} gantry-bench`,
    runs,
  );
  const crun = await bundle.measure('crun', runs);
  const nodeAfter = await bundle.measureCommand(`${process.execPath} ${join(nothing, 'nothing.cjs')}`, runs);
  note(
    `gantry-oci run: bare Node took ${median(node).toFixed(1)} ms before it and ${median(nodeAfter).toFixed(1)} ms after.`,
  );

  const asRuntime = (runtime: string): Promise<number> =>
    podman.time([
      '--runtime',
      runtime,
      ...podman.runWords('--rm', '--network', 'none', boxImage.reference, 'true'),
    ]);
  const under: Record<'ours' | 'crun' | 'runc', number[]> = { ours: [], crun: [], runc: [] };
  // The first of each finds cold caches and is not counted.
  for (let pair = 0; pair <= repetitions.pairs; pair += 1) {
    const times = {
      ours: await asRuntime(gantryOci),
      crun: await asRuntime('crun'),
      runc: await asRuntime('runc'),
    };
    if (pair === 0) continue;
    for (const name of ['ours', 'crun', 'runc'] as const) under[name].push(times[name]);
  }
  return [
    {
      id: 'oci-run',
      what: 'gantry-oci run, p50',
      unit: 'ms',
      value: median(ours),
      peers: [
        measured('runc', median(runc)),
        measured('crun', median(crun)),
        measured('bare Node', median([...node, ...nodeAfter])),
      ],
      budgets: [ratioTo('milestone', 'runc', 1.6), atMostAbove('milestone', 'bare Node', 12)],
    },
    {
      id: 'oci-podman',
      what: 'podman --runtime gantry-oci run --rm, no network',
      unit: 'ms',
      value: median(under.ours),
      peers: [measured('podman, crun', median(under.crun)), measured('podman, runc', median(under.runc))],
      budgets: [],
    },
  ];
}
