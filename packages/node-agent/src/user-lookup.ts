import { lstatSync } from 'node:fs';
import { resolveUser, type ResolvedUser } from '@gantry/oci';
import { LayerTree, readInRunning } from './layer-tree.js';
import { refusal } from './refuse.js';

/** Larger files are not user lists. */
const LIMIT_BYTES = 4 * 1024 * 1024;
const CACHED_USERS = 256;

export interface UserWish {
  readonly user: string;
  readonly groups: readonly string[];
}

function checked(
  wish: UserWish,
  operation: string,
  read: (path: string) => Buffer | undefined,
): ResolvedUser {
  let found;
  try {
    const passwd = read('/etc/passwd')?.toString('utf8') ?? '';
    const group = read('/etc/group')?.toString('utf8') ?? '';
    found = resolveUser(wish.user, wish.groups, { passwd, group });
  } catch (error) {
    throw refusal(
      'failed_precondition',
      operation,
      wish.user,
      `user lists of the container cannot be read: ${String(error)}`,
      error,
    );
  }
  if (!found.ok) throw refusal('invalid_argument', operation, wish.user, found.reason);
  return found.value;
}

function hasOwn(upper: string, path: string): boolean {
  return lstatSync(`${upper}/${path}`, { throwIfNoEntry: false }) !== undefined;
}

/** Finds users in the root file systems of containers; remembers the answers that come from images alone. */
export class UserLookup {
  readonly #cache = new Map<string, ResolvedUser>();

  /** For a container that does not run: its layers, and what it has written itself. */
  inLayers(upper: string, lowerdirs: readonly string[], wish: UserWish): ResolvedUser {
    const tree = new LayerTree([upper, ...lowerdirs]);
    // As long as the container has not touched /etc, the image's word holds for all its containers.
    if (hasOwn(upper, 'etc'))
      return checked(wish, 'StartContainer', (path) => tree.readFile(path, LIMIT_BYTES));
    const key = JSON.stringify([lowerdirs, wish.user, wish.groups]);
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const found = checked(wish, 'StartContainer', (path) => tree.readFile(path, LIMIT_BYTES));
    if (this.#cache.size >= CACHED_USERS) this.#cache.clear();
    this.#cache.set(key, found);
    return found;
  }

  /** For a running container: through its own root, which is whole and may be changing. */
  inRunning(pid: number, wish: UserWish): ResolvedUser {
    return checked(wish, 'StartExec', (path) => readInRunning(pid, path, LIMIT_BYTES));
  }
}
