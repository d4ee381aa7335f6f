import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { node } from '@gantry/protocol';
import { refusal } from './refuse.js';

const run = promisify(execFile);
/** USER_HZ is 100 on every architecture Gantry runs on. */
const TICKS_PER_SECOND = 100;

type Table = Pick<node.ListContainerProcessesResponse, 'titles' | 'rows'>;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function bootUnixMs(): number {
  const seconds = /^btime (\d+)$/m.exec(read('/proc/stat'))?.[1];
  return Number(seconds ?? '0') * 1000;
}

/** 8912: "pts/0" for majors 136 to 143, "?" without a terminal. */
function terminalName(device: number): string {
  if (device === 0) return '?';
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  return major >= 136 && major <= 143 ? `pts/${minor + (major - 136) * 256}` : `${major}:${minor}`;
}

function clockTime(seconds: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
}

function startText(startedUnixMs: number, nowUnixMs: number): string {
  const date = new Date(startedUnixMs);
  return nowUnixMs - startedUnixMs < 24 * 3600 * 1000
    ? date.toTimeString().slice(0, 5)
    : date.toDateString().slice(4, 7) + date.toDateString().slice(8, 10);
}

/** One process as `ps -ef` shows it; undefined when it has just ended. */
function describe(pid: number, boot: number, nowUnixMs: number): readonly string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The name may hold spaces and parentheses: fields count from the last one.
  const close = stat.lastIndexOf(')');
  if (close < 0) return undefined;
  const fields = stat.slice(close + 2).split(' ');
  const uid = /^Uid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? '?';
  const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  const startedUnixMs = boot + (Number(fields[19]) / TICKS_PER_SECOND) * 1000;
  const share = Math.min(99, Math.floor((100 * cpuSeconds * 1000) / Math.max(1, nowUnixMs - startedUnixMs)));
  const command = read(`/proc/${pid}/cmdline`)
    .split('\0')
    .filter((word) => word !== '')
    .join(' ');
  return [
    uid,
    String(pid),
    fields[1] ?? '?',
    String(share),
    startText(startedUnixMs, nowUnixMs),
    terminalName(Number(fields[4])),
    clockTime(cpuSeconds),
    command === '' ? `[${stat.slice(stat.indexOf('(') + 1, close)}]` : command,
  ];
}

/** What `ps -ef` would show of these processes, read from /proc. */
export function listProcesses(pids: readonly number[]): Table {
  const boot = bootUnixMs();
  const now = Date.now();
  const rows = [...pids]
    .sort((a, b) => a - b)
    .flatMap((pid) => {
      const cells = describe(pid, boot, now);
      return cells === undefined ? [] : [{ cells: [...cells] }];
    });
  return { titles: ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'], rows };
}

async function askPs(words: readonly string[]): Promise<string> {
  return (await run('ps', words, { maxBuffer: 16 * 1024 * 1024, timeout: 10_000 })).stdout;
}

function psRefusal(psArguments: readonly string[], error: unknown): Error {
  const failed = error as NodeJS.ErrnoException & { stderr?: string };
  const words = psArguments.join(' ');
  return failed.code === 'ENOENT'
    ? refusal(
        'failed_precondition',
        'ListContainerProcesses',
        words,
        'this host has no ps, so only the default columns can be shown',
      )
    : refusal(
        'invalid_argument',
        'ListContainerProcesses',
        words,
        `ps refuses ${words}: ${failed.stderr?.trim() || failed.message}`,
      );
}

/** The host's ps with arguments of the user's, its rows of these processes alone. */
export async function runPs(pids: readonly number[], psArguments: readonly string[]): Promise<Table> {
  // Told which ones, ps shows them whatever their terminal; some arguments do not go with that.
  const stdout = await askPs([...psArguments, '-q', pids.join(',')])
    .catch(() => askPs(psArguments))
    .catch((error: unknown) => {
      throw psRefusal(psArguments, error);
    });
  const [header = '', ...lines] = stdout.split('\n').filter((line) => line.trim() !== '');
  const titles = header.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column < 0)
    throw refusal(
      'invalid_argument',
      'ListContainerProcesses',
      psArguments.join(' '),
      `ps ${psArguments.join(' ')} shows no PID column`,
    );
  const wanted = new Set(pids.map(String));
  const rows = lines
    .map((line) => splitCells(line, titles.length))
    .filter((cells) => wanted.has(cells[column] ?? ''))
    .map((cells) => ({ cells }));
  return { titles, rows };
}

/** The last column keeps its spaces. */
function splitCells(line: string, columns: number): string[] {
  const words = line.trim().split(/\s+/);
  return words.length <= columns
    ? words
    : [...words.slice(0, columns - 1), words.slice(columns - 1).join(' ')];
}
