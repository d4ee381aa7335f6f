import { existsSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

/** Removes the cgroups, and ends the processes, of test processes that were killed before they could. Names are PREFIX-PID or PREFIX-PID-... */
export function sweepDeadSessions(prefix: string): void {
  const own = new RegExp(`^${prefix}-(\\d+)(-|$)`);
  for (const mount of ['', ...readdirSync('/sys/fs/cgroup')].map((name) => join('/sys/fs/cgroup', name)))
    for (const name of directoriesIn(mount)) {
      const pid = own.exec(name)?.[1];
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeCgroup(join(mount, name));
    }
}

function directoriesIn(path: string): readonly string[] {
  if (!existsSync(join(path, 'cgroup.procs'))) return [];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [entry.name] : [],
  );
}

function removeCgroup(directory: string): void {
  try {
    for (const name of directoriesIn(directory)) removeCgroup(join(directory, name));
    for (const pid of readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
      process.kill(Number(pid), 'SIGKILL');
    rmdirSync(directory);
  } catch {
    // Not gone yet, or gone by another's hand: the next session tries again.
  }
}
