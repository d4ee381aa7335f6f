import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun } from '@gantry/test-harness';

const cache = fileURLToPath(new URL('../../../build/bare-root/', import.meta.url));
/** Debian's archive may be slow, once. */
const downloadTimeoutMs = 600_000;

/** Where the packages that Gantry's depends on lie in the root, so that nothing is downloaded a second time. */
export const archiveDirectory = '/var/cache/gantry-test';
/** What makes apt take them from there; images made for containers delete what lies in the usual place. */
export const archiveOptions = ['-o', `Dir::Cache::Archives=${archiveDirectory}`];

/**
 * A tar of the least Debian that has apt, of this machine's own release and from its own archive: nothing of Gantry, no
 * systemd. Made once and kept. `dependencies` are downloaded into it, not installed.
 */
export async function bareRootArchive(dependencies: readonly string[]): Promise<string> {
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  if (codename === undefined) throw new Error('this machine does not say which Debian it is');
  const archive = join(cache, `${codename}-${fingerprintOf(dependencies)}.tar`);
  if (existsSync(archive)) return archive;
  mkdirSync(cache, { recursive: true });
  for (const older of globSync(join(cache, '*.tar'))) rmSync(older);
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-bare-root-'));
  try {
    const unfinished = join(scratch, 'root.tar');
    const download = [
      ...['apt-get', '-qq', '-y', '--no-install-recommends', '--download-only', ...archiveOptions],
      'install',
      ...dependencies,
    ];
    await mustRun(
      'mmdebstrap',
      [
        ...['--quiet', '--mode=root', '--variant=minbase', '--format=tar'],
        // This machine's own sources, keys, pins and proxies, whatever they are.
        '--setup-hook=cp -a /etc/apt/. "$1/etc/apt/"',
        '--setup-hook=mkdir -p "$1/usr/share/keyrings" && cp -a /usr/share/keyrings/. "$1/usr/share/keyrings/"',
        `--customize-hook=mkdir -p "$1${archiveDirectory}/partial"`,
        `--customize-hook=chroot "$1" ${download.map((word) => `'${word}'`).join(' ')}`,
        // The lists stay: the package is installed without asking the archive again.
        '--skip=cleanup/apt/lists',
        ...[codename, unfinished, ''],
      ],
      { timeoutMs: downloadTimeoutMs },
    );
    await mustRun('mv', [unfinished, `${archive}.new`]);
    renameSync(`${archive}.new`, archive);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return archive;
}

/** Other sources or other dependencies make another root. */
function fingerprintOf(dependencies: readonly string[]): string {
  const hash = createHash('sha256').update(dependencies.join(','));
  for (const file of globSync('/etc/apt/{sources.list,sources.list.d/*,preferences.d/*}').sort())
    hash.update(readFileSync(file));
  return hash.digest('hex').slice(0, 12);
}
