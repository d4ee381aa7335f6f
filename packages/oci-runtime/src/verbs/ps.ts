import { cgroupPids } from '@gantry/cgroup-supervisor/runtime';
import { isAlive } from '../container-status.js';
import { errorCode, failure, messageOf } from '../failure.js';
import { print } from '../print.js';
import type { Call } from '../program.js';

export async function ps({ runtime, given, words: [id = '', ...options] }: Call): Promise<number> {
  const record = runtime.store.get(id);
  const format = given.text('format') ?? 'table';
  if (format !== 'table' && format !== 'json') failure(`invalid format option: ${JSON.stringify(format)}`);
  const inCgroup = record.cgroup === undefined ? [] : cgroupPids(record.cgroup);
  const pids = inCgroup.length > 0 || !isAlive(record.pid, record.startTicks) ? inCgroup : [record.pid];
  if (format === 'json') print(`${JSON.stringify(pids)}\n`);
  else print(await processTable(pids, options));
  return 0;
}

/** The lines of ps(1) that are about these processes: what engines and their users expect to see. */
async function processTable(pids: readonly number[], options: readonly string[]): Promise<string> {
  const { execFileSync } = await import('node:child_process');
  let text: string;
  try {
    text = execFileSync('ps', options.length === 0 ? ['-ef'] : [...options], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return pids.map((pid) => `${pid}\n`).join('');
    return failure(`ps failed: ${messageOf(error)}`);
  }
  return linesOf(text, new Set(pids));
}

/** Pure. The header says in which column the pid stands. */
export function linesOf(text: string, pids: ReadonlySet<number>): string {
  const [header = '', ...lines] = text.split('\n');
  const column = header.trim().split(/\s+/).indexOf('PID');
  if (column < 0) failure('ps shows no column PID');
  const own = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [header, ...own].map((line) => `${line}\n`).join('');
}
