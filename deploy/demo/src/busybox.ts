import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { TarEntry } from './tar.js';

const places = ['/bin/busybox', '/usr/bin/busybox'];

/** A root file system around this machine's static busybox (Debian's package busybox-static). */
export function busyboxLayer(): TarEntry[] {
  const busybox = places.find((path) => existsSync(path));
  if (busybox === undefined) throw new Error(`no busybox in ${places.join(' or ')}: install busybox-static`);
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n');
  const directory = (path: string, mode?: number): TarEntry => ({
    path: `${path}/`,
    kind: 'directory',
    ...(mode === undefined ? {} : { mode }),
  });
  const file = (path: string, content: string): TarEntry => ({ path, kind: 'file', content });
  return [
    ...['bin', 'dev', 'etc', 'home', 'home/gantry', 'proc', 'sys', 'usr', 'usr/bin', 'var'].map((path) =>
      directory(path),
    ),
    directory('root', 0o700),
    directory('tmp', 0o1777),
    file(
      'etc/passwd',
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\ngantry:x:1000:1000::/home/gantry:/bin/sh\n',
    ),
    file('etc/group', 'root:x:0:\nnogroup:x:65534:\ngantry:x:1000:\nextra:x:2000:gantry\n'),
    { path: 'bin/busybox', kind: 'file', content: readFileSync(busybox), mode: 0o755 },
    ...applets
      .filter((applet) => applet !== '' && applet !== 'busybox')
      .map((applet): TarEntry => ({ path: `bin/${applet}`, kind: 'symlink', target: 'busybox' })),
  ];
}
