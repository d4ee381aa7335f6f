import { appendFileSync, writeSync } from 'node:fs';
import { failure, messageOf } from './failure.js';

export type LogFormat = 'text' | 'json';
export type LogLevel = 'debug' | 'warning' | 'error';

const severity: Readonly<Record<LogLevel, number>> = { debug: 0, warning: 1, error: 2 };

/** Words stand as they are, all else in quotes: the form that readers of runc's log know. */
function quoted(text: string): string {
  return /^[A-Za-z0-9\-._/@^+]+$/.test(text) ? text : JSON.stringify(text);
}

/** One line of a log file. Pure. */
export function logLine(format: LogFormat, level: LogLevel, message: string, time: Date): string {
  const at = time.toISOString().replace(/\.\d+Z$/, 'Z');
  return format === 'json'
    ? `${JSON.stringify({ level, msg: message, time: at })}\n`
    : `time=${quoted(at)} level=${level} msg=${quoted(message)}\n`;
}

/**
 * The log whoever called us reads. podman takes the whole file as one JSON object, so without --debug nothing but
 * the failure itself is written, and warnings only of what goes on nevertheless.
 */
export class RuntimeLog {
  readonly #path: string | undefined;
  readonly #format: LogFormat;
  readonly #least: LogLevel;

  constructor(path: string | undefined, format: LogFormat, least: LogLevel) {
    this.#path = path;
    this.#format = format;
    this.#least = least;
  }

  debug(message: string): void {
    this.#write('debug', message);
  }

  warn(message: string): void {
    this.#write('warning', message);
  }

  /** The failure that the command ends with: in the log, and as plain words on standard error when the log is a file. */
  fail(message: string): void {
    try {
      this.#write('error', message);
    } catch (error) {
      writeSync(2, `gantry-oci: ${messageOf(error)}\n`);
    }
    if (this.#path !== undefined) writeSync(2, `${message}\n`);
  }

  #write(level: LogLevel, message: string): void {
    if (severity[level] < severity[this.#least]) return;
    const line = logLine(this.#format, level, message, new Date());
    if (this.#path === undefined) {
      writeSync(2, line);
      return;
    }
    try {
      appendFileSync(this.#path, line, { mode: 0o644 });
    } catch (error) {
      failure(`cannot write log file ${this.#path}: ${messageOf(error)}`);
    }
  }
}

/** From the global options: `[file:]PATH`, text or json, and how much. */
export function openLog(
  where: string | undefined,
  format: string | undefined,
  debug: boolean,
  level: string | undefined,
): RuntimeLog {
  if (format !== undefined && format !== 'text' && format !== 'json')
    failure(`unknown log-format ${JSON.stringify(format)}: text or json`);
  if (level !== undefined && level !== 'debug' && level !== 'warning' && level !== 'error')
    failure(`unknown log-level ${JSON.stringify(level)}: debug, warning or error`);
  if (where !== undefined && /^(journald|syslog):/.test(where))
    failure(`--log ${where} is not supported: give the path of a file`);
  const path = where?.replace(/^file:/, '');
  const isStandardError = path === undefined || path === '/dev/stderr';
  if (path !== undefined && !isStandardError) openable(path);
  return new RuntimeLog(
    isStandardError ? undefined : path,
    format ?? 'text',
    debug ? 'debug' : (level ?? 'warning'),
  );
}

/** Said at once, and not by the failure that is to be written there. */
function openable(path: string): void {
  try {
    appendFileSync(path, '', { mode: 0o644 });
  } catch (error) {
    failure(`cannot open log file ${path}: ${messageOf(error)}`);
  }
}
