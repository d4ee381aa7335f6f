import { boxImage } from '../bench-node.js';
import type { StartSample } from '../bus-messages.js';
import { atMost, measured, ratioTo, type Row } from '../row.js';
import type { NodeSession } from '../session.js';
import { median, percentile } from '../statistics.js';

/** Starts one after the other on an idle node. crun runs before and after, so that a drift of the machine shows. */
export async function measureStarts({ bundle, node, repetitions, note }: NodeSession): Promise<Row[]> {
  const { starts, startsWarmUp, bundleRuns } = repetitions;
  const crunBefore = await bundle.measure('crun', bundleRuns / 2);
  const runc = await bundle.measure('runc', bundleRuns / 2);
  const run = node.drive({ kind: 'starts', image: boxImage.reference, warmUp: startsWarmUp, count: starts });
  const { samples } = await run.answer;
  const crunAfter = await bundle.measure('crun', bundleRuns / 2);
  const crun = [...crunBefore, ...crunAfter];
  const running = samples.map((sample) => sample.running);
  const p50 = (pick: (sample: StartSample) => number): string => median(samples.map(pick)).toFixed(1);
  note(
    `Starts: of the p50 from request to execve, StartContainer alone takes ${p50(({ startAlone }) => startAlone)} ms; ` +
      `removal of the ended container (network, cgroup, directories, record) takes ${p50(({ removed }) => removed)} ms and is not in the figure. ` +
      `crun's p50 was ${median(crunBefore).toFixed(1)} ms before ours and ${median(crunAfter).toFixed(1)} ms after.`,
  );
  const peers = (percent: number): Row['peers'] => [
    measured('crun', percentile(crun, percent)),
    measured('runc', percentile(runc, percent)),
  ];
  return [
    {
      id: 'start-p50',
      what: `start through the bus, ${starts} in a row, p50`,
      unit: 'ms',
      value: median(running),
      peers: peers(50),
      budgets: [atMost('milestone', 12), atMost('design', 8), ratioTo('design', 'crun', 1)],
    },
    {
      id: 'start-p99',
      what: 'the same, p99',
      unit: 'ms',
      value: percentile(running, 99),
      peers: peers(99),
      budgets: [atMost('design', 30)],
    },
    {
      id: 'start-to-exit-p50',
      what: 'request → exit code known, p50',
      unit: 'ms',
      value: median(samples.map(({ exited }) => exited)),
      peers: peers(50),
      budgets: [],
    },
  ];
}
