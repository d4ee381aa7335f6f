import { createContainer } from '../creation.js';
import { runPoststart } from '../poststart.js';
import { forwardSignals } from '../forwarding.js';
import { destroy } from '../removal.js';
import type { Call } from '../program.js';

export async function run({ runtime, given, words: [id = ''] }: Call): Promise<number> {
  const detach = given.flag('detach');
  const { held, record, spec, process } = await createContainer(runtime, id, given, {
    awaitStart: false,
    detach,
  });
  await runPoststart(runtime, held, spec);
  held.release();
  if (detach) return 0;
  const stop = forwardSignals(runtime.native, record.pid, BigInt(record.startTicks));
  const { exitCode } = await process.ended();
  stop();
  if (given.flag('keep')) return exitCode;
  // Somebody may have removed it with --force: then there is nothing left to do.
  const again = runtime.store.hold(id);
  if (again?.record !== undefined && again.record.created === record.created) await destroy(runtime, again);
  else again?.release();
  return exitCode;
}
