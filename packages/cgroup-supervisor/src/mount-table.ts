/** One line of /proc/self/mountinfo, as far as cgroups need it. See proc_pid_mountinfo(5). */
export interface MountedFileSystem {
  readonly device: string;
  /** The directory of the file system that is mounted: "/" for all of it. */
  readonly root: string;
  readonly mountPoint: string;
  readonly mountOptions: readonly string[];
  readonly type: string;
  /** "/dev/vda1", or a word where there is no device. */
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** Parses mountinfo; a line that is not one is left out. */
export function parseMountTable(mountinfo: string): readonly MountedFileSystem[] {
  const mounts: MountedFileSystem[] = [];
  for (const line of mountinfo.split('\n')) {
    // A variable number of optional fields ends with a lone hyphen.
    const [before, after] = splitOnce(line, ' - ');
    const [, , device, root, mountPoint, mountOptions] = before.split(' ');
    const [type, source, superOptions] = after.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined || mountOptions === undefined)
      continue;
    if (type === undefined || source === undefined || superOptions === undefined) continue;
    mounts.push({
      device,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      mountOptions: mountOptions.split(','),
      type,
      source: unescapeOctal(source),
      superOptions: superOptions.split(','),
    });
  }
  return mounts;
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}
