import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  readdirSync,
  type Stats,
} from 'node:fs';
import { nativeFiles } from './native.js';

/** What overlay would show at a path: the directories that make it up (top first), or one file. */
export type LayerEntry =
  | { readonly kind: 'directory'; readonly places: readonly string[]; readonly stats: Stats }
  | { readonly kind: 'file'; readonly place: string; readonly stats: Stats };

/** As many symlinks as the kernel follows. */
const MAX_LINKS = 40;

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** A whiteout: the character device 0/0. */
function isWhiteout(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0;
}

/**
 * A container's root file system as overlay would merge it, read without mounting it. Every component is looked at with
 * lstat and symlinks are followed here, so that a link in an image cannot lead out of the tree. The tree must not be
 * changing: for a running container read through its own root instead (see readInRoot).
 */
export class LayerTree {
  readonly #roots: readonly string[];

  /** Directories, top first: upper (may be absent), then the lowerdirs. */
  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /** The entry at an absolute path, symlinks followed; undefined when there is none. */
  resolve(path: string): LayerEntry | undefined {
    const top = this.#rootEntry();
    if (top === undefined) return undefined;
    const parents: LayerEntry[] = [];
    let here: LayerEntry = top;
    const pending = path.split('/').reverse();
    for (let links = 0; pending.length > 0;) {
      const name = pending.pop() ?? '';
      if (name === '' || name === '.') continue;
      if (name === '..') {
        here = parents.pop() ?? top;
        continue;
      }
      if (here.kind !== 'directory') return undefined;
      const next = this.lookup(here.places, name);
      if (next === undefined) return undefined;
      if (next.kind === 'file' && next.stats.isSymbolicLink()) {
        if ((links += 1) > MAX_LINKS) return undefined;
        const target = readlinkSync(next.place);
        if (target.startsWith('/')) {
          parents.length = 0;
          here = top;
        }
        pending.push(...target.split('/').reverse());
        continue;
      }
      parents.push(here);
      here = next;
    }
    return here;
  }

  /** One name in a merged directory; symlinks are not followed. */
  lookup(places: readonly string[], name: string): LayerEntry | undefined {
    const found: string[] = [];
    let stats: Stats | undefined;
    for (const place of places) {
      const candidate = `${place}/${name}`;
      const facts = statOf(candidate);
      if (facts === undefined) continue;
      if (isWhiteout(facts)) break;
      if (!facts.isDirectory()) {
        // A file below a directory is hidden by it.
        if (found.length > 0) break;
        return { kind: 'file', place: candidate, stats: facts };
      }
      found.push(candidate);
      stats ??= facts;
      if (nativeFiles.isOpaque(candidate)) break;
    }
    return stats === undefined ? undefined : { kind: 'directory', places: found, stats };
  }

  /** The names of a merged directory, sorted. */
  list(places: readonly string[]): readonly string[] {
    const names = new Set<string>();
    for (const place of places) for (const name of readdirSync(place)) names.add(name);
    return [...names].filter((name) => this.lookup(places, name) !== undefined).sort();
  }

  /** A regular file's bytes; undefined when it is absent or something else. Throws when it is above the limit. */
  readFile(path: string, limitBytes: number): Buffer | undefined {
    const entry = this.resolve(path);
    if (entry?.kind !== 'file' || !entry.stats.isFile()) return undefined;
    const fd = openSync(entry.place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { size } = fstatSync(fd);
      if (size > limitBytes) throw new RangeError(`${path} is larger than ${limitBytes} bytes`);
      const content = Buffer.alloc(size);
      return content.subarray(0, readSync(fd, content, 0, size, 0));
    } finally {
      closeSync(fd);
    }
  }

  #rootEntry(): LayerEntry | undefined {
    const places: string[] = [];
    let stats: Stats | undefined;
    for (const root of this.#roots) {
      const facts = statOf(root);
      if (facts?.isDirectory() !== true) continue;
      places.push(root);
      stats ??= facts;
    }
    return stats === undefined ? undefined : { kind: 'directory', places, stats };
  }
}

/** Reads a file of a running container through its own root; undefined when it is not there. */
export function readInRunning(pid: number, path: string, limitBytes: number): Buffer | undefined {
  return nativeFiles.readInRoot(`/proc/${pid}/root`, path, limitBytes) ?? undefined;
}
