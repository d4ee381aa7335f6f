import { statusOf } from '../container-status.js';
import { print } from '../print.js';
import type { Call } from '../program.js';
import { stateJson } from '../state-json.js';

export function state({ runtime, words: [id = ''] }: Call): number {
  const record = runtime.store.get(id);
  print(`${JSON.stringify(stateJson(record, statusOf(record, runtime.store)), undefined, 2)}\n`);
  return 0;
}
