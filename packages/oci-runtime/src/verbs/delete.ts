import type { HeldContainer } from '../container-store.js';
import { checkId, doesNotExist } from '../container-store.js';
import { statusOf } from '../container-status.js';
import { failure } from '../failure.js';
import { matchingIds } from '../matching.js';
import { destroy, killContainer } from '../removal.js';
import type { Call } from '../program.js';
import type { Runtime } from '../runtime.js';

export async function remove({ runtime, given, words: [name = ''] }: Call): Promise<number> {
  const force = given.flag('force');
  if (!given.flag('regex')) {
    const held = runtime.store.hold(checkId(name));
    if (held === undefined) return force ? 0 : failure(doesNotExist(name));
    await removeHeld(runtime, held, force);
    return 0;
  }
  for (const id of matchingIds(runtime.store, name)) {
    const held = runtime.store.hold(id);
    if (held !== undefined) await removeHeld(runtime, held, force);
  }
  return 0;
}

async function removeHeld(runtime: Runtime, held: HeldContainer, force: boolean): Promise<void> {
  const { record } = held;
  // Without a record: a create or delete that was killed has left the directory.
  if (record !== undefined) {
    // We hold it, so nobody is creating it.
    const status = record.phase === 'creating' ? 'stopped' : statusOf(record, runtime.store);
    if (status !== 'stopped' && !force) {
      held.release();
      failure(`cannot delete container ${JSON.stringify(record.id)} that is not stopped: ${status}`);
    }
    if (force) await killContainer(runtime, record);
  }
  await destroy(runtime, held);
}
