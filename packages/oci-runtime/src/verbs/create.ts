import { createContainer } from '../creation.js';
import type { Call } from '../program.js';

export async function create({ runtime, given, words: [id = ''] }: Call): Promise<number> {
  const { held } = await createContainer(runtime, id, given, { awaitStart: true, detach: true });
  held.release();
  return 0;
}
