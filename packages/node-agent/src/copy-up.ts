import { chmod, copyFile, lchown, lutimes, mkdir, readlink, symlink, utimes } from 'node:fs/promises';
import { constants, type Stats } from 'node:fs';
import type { LayerEntry, LayerTree } from './layer-tree.js';

/** Owner, mode and times as the image has them: volumes keep plain ids, the id-mapped mount does the rest. */
async function copyOwner(stats: Stats, target: string): Promise<void> {
  await lchown(target, stats.uid, stats.gid);
  if (stats.isSymbolicLink()) {
    await lutimes(target, stats.atime, stats.mtime);
    return;
  }
  // After chown, which takes set-id bits away.
  await chmod(target, stats.mode & 0o7777);
  await utimes(target, stats.atime, stats.mtime);
}

async function copyEntry(tree: LayerTree, entry: LayerEntry, target: string): Promise<void> {
  if (entry.kind === 'directory') {
    await mkdir(target, { mode: 0o700 });
    await copyContent(tree, entry, target);
    return;
  }
  if (entry.stats.isSymbolicLink()) await symlink(await readlink(entry.place), target);
  else if (entry.stats.isFile())
    await copyFile(entry.place, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  // Devices, fifos and sockets are not content; docker's images do not have them in volumes either.
  else return;
  await copyOwner(entry.stats, target);
}

/**
 * Copies what the image has in a directory into an existing, empty one, owners and modes too, whiteouts honoured.
 * Symlinks are copied, never followed.
 */
export async function copyContent(
  tree: LayerTree,
  from: LayerEntry & { kind: 'directory' },
  target: string,
): Promise<void> {
  for (const name of tree.list(from.places)) {
    const entry = tree.lookup(from.places, name);
    if (entry !== undefined) await copyEntry(tree, entry, `${target}/${name}`);
  }
  await copyOwner(from.stats, target);
}
