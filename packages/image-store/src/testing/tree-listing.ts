import { execFileSync } from 'node:child_process';

/** Lists a tree: one line for each entry with everything that a container could notice about it. */
const program = `
import os, sys, stat, hashlib
root = os.fsencode(sys.argv[1])
for directory, names, files in os.walk(root):
    for name in sorted(names + files) + ([b'.'] if directory == root else []):
        path = os.path.join(directory, name)
        info = os.lstat(path)
        line = [os.path.relpath(path, root).decode('utf8', 'backslashreplace'), oct(info.st_mode), info.st_uid, info.st_gid]
        if not stat.S_ISDIR(info.st_mode): line.append(info.st_nlink)
        if name != b'.': line.append(int(info.st_mtime))
        if stat.S_ISLNK(info.st_mode): line.append(os.readlink(path))
        if stat.S_ISREG(info.st_mode): line += [info.st_size, hashlib.sha256(open(path, 'rb').read()).hexdigest()]
        if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode): line.append(info.st_rdev)
        line += [f'{n}={os.getxattr(path, n, follow_symlinks=False).hex()}' for n in sorted(os.listxattr(path, follow_symlinks=False)) if not n.startswith('user.overlay.')]
        print(*line)
`;

export function listTree(path: string): string[] {
  return execFileSync('python3', ['-c', program, path], { encoding: 'utf8', maxBuffer: 1 << 28 })
    .trimEnd()
    .split('\n')
    .sort();
}

/** The same for what overlay shows of these directories, mounted where nobody else sees it. */
export function listMerged(lowerdirs: readonly string[], mountPoint: string): string[] {
  const options = lowerdirs.length === 1 ? undefined : `userxattr,lowerdir=${lowerdirs.join(':')}`;
  const mount =
    options === undefined
      ? `mount --bind ${lowerdirs[0] ?? ''} "$0"`
      : `mount -t overlay overlay -o ${options} "$0"`;
  return execFileSync(
    'unshare',
    ['-m', 'sh', '-c', `${mount} && exec python3 -c "$1" "$0"`, mountPoint, program],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  )
    .trimEnd()
    .split('\n')
    .sort();
}
