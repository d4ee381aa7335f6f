import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { NativeSpawner } from './native.js';
import type { SeccompStore } from './seccomp.js';
import { sha256 } from './digest.js';
import { readKernelRelease } from './host.js';

/** Changes whenever the same profile would compile to another program. */
const FORMAT = 1;
const CHECKSUM_BYTES = 32;
const INSTRUCTION_BYTES = 8;
const MOST_INSTRUCTIONS = 4096;
const MOST_FILES = 128;
const OTHERS_MAY_WRITE = 0o022;

function checksum(name: string, program: Uint8Array): Buffer {
  return sha256(name, program);
}

/** A filter that somebody else could have written would be worse than none. */
function isOursAlone(status: Stats): boolean {
  return status.uid === process.geteuid?.() && (status.mode & OTHERS_MAY_WRITE) === 0;
}

/**
 * Compiled filters in a directory, for a program that lives for one command and would compile the same few again and again.
 *
 * A file is `SHA-256 of its name and the program | program`, written aside and renamed: half of one, or one of another name, is
 * not found. Whatever goes wrong means "not found" and "not kept", never a failure of the start.
 */
export class SeccompCache implements SeccompStore {
  readonly #directory: string;
  readonly #machine: string;

  /** The directory is made when the first program is kept; the one it is in is there. */
  constructor(directory: string, native: Pick<NativeSpawner, 'seccompFacts'>) {
    this.#directory = directory;
    this.#machine = `${FORMAT} ${native.seccompFacts().libraryVersion} ${process.arch} ${readKernelRelease()}`;
  }

  find(digest: string): Uint8Array | undefined {
    const name = this.#nameOf(digest);
    try {
      const directory = lstatSync(this.#directory);
      if (!directory.isDirectory() || !isOursAlone(directory)) return undefined;
      const file = openSync(join(this.#directory, name), constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        return this.#read(file, name);
      } finally {
        closeSync(file);
      }
    } catch {
      return undefined;
    }
  }

  keep(digest: string, program: Uint8Array): void {
    const name = this.#nameOf(digest);
    try {
      this.#make();
      const directory = lstatSync(this.#directory);
      if (!directory.isDirectory() || !isOursAlone(directory)) return;
      this.#makeRoom();
      const aside = join(this.#directory, `.${name}.${process.pid}`);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const file = openSync(aside, flags, 0o600);
      try {
        writeSync(file, Buffer.concat([checksum(name, program), program]));
        renameSync(aside, join(this.#directory, name));
      } catch {
        rmSync(aside, { force: true });
      } finally {
        closeSync(file);
      }
    } catch {
      // A read-only or foreign directory: compiled anew the next time.
    }
  }

  #make(): void {
    try {
      mkdirSync(this.#directory, { mode: 0o700 });
    } catch {
      // There already, or told by what comes next.
    }
  }

  #nameOf(digest: string): string {
    return sha256(`${this.#machine} ${digest}`).toString('hex');
  }

  #read(file: number, name: string): Uint8Array | undefined {
    const status = fstatSync(file);
    const size = status.size - CHECKSUM_BYTES;
    if (!status.isFile() || !isOursAlone(status)) return undefined;
    if (size <= 0 || size % INSTRUCTION_BYTES !== 0 || size > MOST_INSTRUCTIONS * INSTRUCTION_BYTES)
      return undefined;
    const bytes = Buffer.alloc(status.size);
    if (readSync(file, bytes) !== bytes.length) return undefined;
    const program = bytes.subarray(CHECKSUM_BYTES);
    return checksum(name, program).equals(bytes.subarray(0, CHECKSUM_BYTES)) ? program : undefined;
  }

  /** Once there are too many, the older half goes, with what a killed writer left. */
  #makeRoom(): void {
    const names = readdirSync(this.#directory);
    if (names.length < MOST_FILES) return;
    names
      .map((name) => join(this.#directory, name))
      .map((path) => ({ path, writtenMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
      .sort((a, b) => a.writtenMs - b.writtenMs)
      .slice(0, MOST_FILES / 2)
      .forEach(({ path }) => rmSync(path, { force: true }));
  }
}
