import { parseMountOptions } from '@gantry/spawner/runtime';

const attributes = [
  'ro', 'rw', 'nosuid', 'suid', 'nodev', 'dev', 'noexec', 'exec', 'nodiratime', 'diratime', 'noatime', 'atime',
  'strictatime', 'nostrictatime', 'relatime', 'norelatime', 'nosymfollow', 'symfollow',
]; // prettier-ignore
const propagations = ['private', 'shared', 'slave', 'unbindable'];
const others = [
  'bind', 'rbind', 'idmap', 'ridmap', 'tmpcopyup', 'remount', 'defaults', 'async', 'sync', 'dirsync', 'lazytime', 'nolazytime',
  'iversion', 'noiversion', 'mand', 'nomand', 'silent', 'loud', 'acl', 'noacl', 'copy-symlink',
]; // prettier-ignore

/** Understood, and not merely passed on to the file system: what is not is left over for a bind mount, too. */
function isUnderstood(word: string): boolean {
  return [[word], ['bind', word]].some((words) => {
    try {
      return parseMountOptions(words, '/').parameters.length === 0;
    } catch {
      return false;
    }
  });
}

/** The words for mount options that the runtime knows, asked of the code that reads them. */
export function mountWords(): readonly string[] {
  const all = [...attributes, ...propagations].flatMap((word) => [word, `r${word}`]);
  return [...new Set([...all, ...others])].filter(isUnderstood).sort();
}
