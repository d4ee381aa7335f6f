import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';

const OTHERS_MAY_WRITE = 0o022;
/** So many successful commands of a kind add what they needed and was not compiled yet; after that the file stays. */
const COMMANDS_LEARNT_FROM = 3;

/** A program's source, evaluated to one function by V8, with the code that earlier commands of its kind needed. */
export interface CompiledProgram {
  readonly evaluate: () => unknown;
  /** Called at the end of a command that went well: keeps what it needed, for the next. */
  readonly learn: () => void;
}

function isTrusted(uid: number, mode: number): boolean {
  return (uid === 0 || uid === process.geteuid?.()) && (mode & OTHERS_MAY_WRITE) === 0;
}

/** The file's bytes; undefined when there is none or somebody else could have written it. */
function readTrusted(path: string): Buffer | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    const { uid, mode } = fstatSync(file);
    return isTrusted(uid, mode) ? readFileSync(file) : undefined;
  } finally {
    closeSync(file);
  }
}

/** Written aside, on the disk before it has its name: V8 does not look for what a power cut leaves of a file. */
function replaceFile(directory: string, name: string, parts: readonly Uint8Array[]): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const { uid, mode } = lstatSync(directory);
  if (uid !== process.geteuid?.() || !isTrusted(uid, mode)) return;
  const aside = join(directory, `.${name}.${process.pid}`);
  const file = openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    for (const part of parts) writeSync(file, part);
    fsyncSync(file);
    renameSync(aside, join(directory, name));
  } catch {
    rmSync(aside, { force: true });
  } finally {
    closeSync(file);
  }
}

/**
 * Reads the source in `path` together with V8's code for it in `directory`, one file for each `kind` of command: functions that were
 * needed before are there compiled, and no others.
 *
 * `release` names the source's content: code of another one is neither read nor kept. V8 itself refuses code of another version,
 * processor or set of flags. Whatever goes wrong here means "compiled anew" and "not kept".
 *
 * @param path a source of ASCII alone
 */
export function compileProgram(
  path: string,
  directory: string,
  release: string,
  kind: string,
): CompiledProgram {
  const name = `${release}-${kind}`;
  const kept = readTrusted(join(directory, name));
  const commands = kept?.at(-1) ?? 0;
  const script = new Script(readFileSync(path, 'latin1'), {
    filename: path,
    ...(kept === undefined ? {} : { cachedData: kept.subarray(0, -1) }),
  });
  const learnt = script.cachedDataRejected === true ? 0 : commands;
  return {
    evaluate: () => script.runInThisContext() as unknown,
    learn() {
      if (learnt >= COMMANDS_LEARNT_FROM) return;
      try {
        replaceFile(directory, name, [script.createCachedData(), Uint8Array.of(learnt + 1)]);
        for (const other of readdirSync(directory))
          if (!other.includes(release)) rmSync(join(directory, other), { force: true, recursive: true });
      } catch {
        // A directory that is not ours, or a full disk.
      }
    },
  };
}
