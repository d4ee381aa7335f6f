import { existsSync, readFileSync } from 'node:fs';
import { statusOf } from '../container-status.js';
import { failure } from '../failure.js';
import { print } from '../print.js';
import type { Call } from '../program.js';
import { stateJson, type StateJson } from '../state-json.js';
import { table } from '../table.js';

export function list({ runtime, given }: Call): number {
  const { store } = runtime;
  const format = given.text('format') ?? 'table';
  if (format !== 'table' && format !== 'json') failure(`invalid format option: ${JSON.stringify(format)}`);
  // Of the usual place nothing is there before the first container; a place that was asked for has to be.
  const ids = store.root === '/run/gantry-oci' && !existsSync(store.root) ? [] : store.ids();
  const states = ids.flatMap((id): StateJson[] => {
    // It may go while we look.
    const record = store.read(id);
    return record === undefined
      ? []
      : [stateJson(record, statusOf(record, store), userName(record.ownerUid))];
  });
  if (given.flag('quiet')) print(states.map(({ id }) => `${id}\n`).join(''));
  else if (format === 'json') print(`${states.length === 0 ? 'null' : JSON.stringify(states)}\n`);
  else
    print(
      table([
        ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'],
        ...states.map(({ id, pid, status, bundle, created, owner }) => [
          id,
          String(pid),
          status,
          bundle,
          created,
          owner,
        ]),
      ]),
    );
  return 0;
}

/** As /etc/passwd has it; `#1234` when it does not. */
function userName(uid: number): string {
  if (uid === 0) return 'root';
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((one) => one.split(':')[2] === String(uid));
    return line?.split(':')[0] ?? `#${uid}`;
  } catch {
    return `#${uid}`;
  }
}
