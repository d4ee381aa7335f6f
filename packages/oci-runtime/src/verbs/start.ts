import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { openStartDoor } from '@gantry/spawner/runtime';
import { parseSpec } from '../bundle.js';
import { startSocketName, statusOf } from '../container-status.js';
import { doesNotExist } from '../container-store.js';
import { errorCode, failure } from '../failure.js';
import type { Call } from '../program.js';
import { runPoststart } from '../poststart.js';
import { killContainer } from '../removal.js';
import { startWords } from '../start-words.js';

const startTimeoutMs = 3_600_000;

export async function start({ runtime, words: [id = ''] }: Call): Promise<number> {
  const held = runtime.store.hold(id) ?? failure(doesNotExist(id));
  const record = held.record ?? failure(doesNotExist(id));
  const status = statusOf(record, runtime.store);
  if (status === 'stopped') failure(`cannot start a container that has stopped: ${JSON.stringify(id)}`);
  if (status !== 'created')
    failure(`cannot start a container in the ${status} state: ${JSON.stringify(id)} is already running`);
  const spec = parseSpec(runtime.store.readConfig(id), 'config.json');
  try {
    const failed = await openStartDoor(held.directory, startTimeoutMs);
    if (failed !== undefined) {
      // The lifecycle goes on with the removal that whoever made the container asks for.
      await killContainer(runtime, record);
      failure(startWords(failed, spec));
    }
  } catch (error) {
    // Opened by a start that was killed before it could write so down: what was asked for has happened.
    if (errorCode(error) !== 'ECONNREFUSED') throw error;
    failure(`cannot start a container that is already running: ${JSON.stringify(id)}`);
  } finally {
    rmSync(join(held.directory, startSocketName), { force: true });
  }
  const running = { ...record, phase: 'running' as const };
  runtime.store.write(running);
  await runPoststart(runtime, { ...held, record: running }, spec);
  held.release();
  return 0;
}
