import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { writeArchive } from '@gantry/demo';
import { boxImage, eventually, mustRun, runCommand, skipUnlessRoot, testImage } from '@gantry/test-harness';
import { archiveDirectory, archiveOptions, bareRootArchive } from './bare-root.js';
import { Machine } from './machine.js';

const checkout = fileURLToPath(new URL('../../../', import.meta.url));
const installed = [
  '/usr/bin/gantry',
  '/usr/bin/gantryd',
  '/usr/lib/gantry/lib/node',
  '/etc/gantry/gantry.yaml',
];
const manuals = ['/usr/share/man/man1/gantry.1.gz', '/usr/share/man/man8/gantryd.8.gz'];

/** What Debian itself writes when packages come and go, whichever they are. */
const bookkeeping = [
  /^\/var\/(lib\/(dpkg|apt)|log|cache)(\/|$)/,
  /^\/etc\/(g?shadow|group|passwd|subuid|subgid)-?$/,
  /^\/etc\/ld\.so\.cache$/,
  /^\/etc\/\.pwd\.lock$/,
  /^\/var\/lib\/systemd\/deb-systemd-helper-enabled(\/nats-server.*|\/multi-user\.target\.wants.*)?$/,
  /^\/etc\/(systemd\/system\/multi-user\.target\.wants|rc\d\.d)(\/.*nats-server.*)?$/,
  /^\/(run|tmp|run\/adduser)$/,
];

/** The package's own words about what it needs. */
async function dependenciesOf(deb: string): Promise<string[]> {
  const field = await mustRun('dpkg-deb', ['--field', deb, 'Depends']);
  return field
    .trim()
    .split(', ')
    .map((one) => one.replace(/ .*/, ''));
}

const buildPackage = (output: string): Promise<string> =>
  mustRun(process.execPath, [join(checkout, 'tools/package/build.mjs'), '--fast', '--output', output], {
    cwd: checkout,
    timeoutMs: 240_000,
  });

void describe('the Debian package on a bare Debian', { skip: skipUnlessRoot }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-package-test-'));
  const deb = join(directory, 'gantry.deb');
  let machine: Machine;
  let filesBefore: string[] = [];
  let mountsBefore: string[] = [];

  const install = (): Promise<string> =>
    machine.must(
      'apt-get',
      [...archiveOptions, '-qq', '-y', '--no-install-recommends', 'install', '/srv/gantry.deb'],
      { timeoutMs: 120_000 },
    );
  const gantry = (...words: readonly string[]): Promise<string> => machine.must('gantry', words);
  const pidOf = async (container: string): Promise<number> => {
    const [facts] = JSON.parse(await gantry('inspect', container)) as { State: { Pid: number } }[];
    return facts?.State.Pid ?? 0;
  };
  const page = (): Promise<string> =>
    eventually('the published port answers', async () => {
      const { code, stdout } = await machine.network.run(process.execPath, [
        '--eval',
        "fetch('http://127.0.0.1:8080/').then(async (answer) => process.stdout.write(await answer.text()), () => process.exit(1))",
      ]);
      return code === 0 ? stdout : undefined;
    });
  const runWeb = (): Promise<string> =>
    gantry(
      'run',
      '-d',
      '--name',
      'web',
      '-p',
      '8080:80',
      '--memory',
      '64m',
      testImage,
      'httpd',
      '-f',
      '-h',
      '/www',
    );

  before(async () => {
    await buildPackage(deb);
    machine = await Machine.boot(await bareRootArchive(await dependenciesOf(deb)));
    mkdirSync(join(machine.root, 'srv'), { recursive: true });
    cpSync(deb, join(machine.root, 'srv/gantry.deb'));
    writeArchive(join(machine.root, 'srv/image.tar'), [boxImage()]);
    // As on a machine whose administrator starts daemons himself: Debian's way to say so.
    writeFileSync(join(machine.root, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    // What is lost with this machine's power was only a test.
    writeFileSync(join(machine.root, 'etc/dpkg/dpkg.cfg.d/unsafe'), 'force-unsafe-io\n');
    filesBefore = await machine.files();
    mountsBefore = await machine.mounts();
  });

  after(async () => {
    await machine.destroy();
    rmSync(directory, { recursive: true, force: true });
  });

  test('the same source makes the same package', async () => {
    const second = join(directory, 'second.deb');
    await buildPackage(second);
    assert.ok(readFileSync(deb).equals(readFileSync(second)), 'the two packages differ');
  });

  test('it installs with nothing but what Debian has, and is whole', async () => {
    await install();
    assert.equal(
      await machine.must('dpkg-query', ['-W', '-f', '${db:Status-Status}', 'gantry']),
      'installed',
    );
    assert.equal(await machine.must('dpkg', ['--verify', 'gantry']), '');
    for (const path of installed) assert.ok(existsSync(join(machine.root, path)), `${path} is not there`);
    assert.match(await machine.must('getent', ['group', 'gantry']), /^gantry:x:\d+:$/m);
    const version = (JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string })
      .version;
    assert.equal((await gantry('--version')).trim(), version);
    assert.equal((await machine.must('gantryd', ['--version'])).trim(), `gantryd ${version}`);
    assert.equal((await machine.must('/usr/lib/gantry/lib/node', ['--version'])).split('.')[0], 'v24');
    const enabled = '/etc/systemd/system/multi-user.target.wants';
    assert.deepEqual(
      (await machine.must('ls', [enabled])).split('\n').filter((name) => name.startsWith('gantry')),
      ['gantry.service'],
    );
    assert.deepEqual(await machine.processes(), []);
  });

  test('each key of the configuration file, uncommented, is what is so anyway', async () => {
    const path = join(machine.root, 'etc/gantry/gantry.yaml');
    const text = readFileSync(path, 'utf8');
    const printed = async (): Promise<string[]> =>
      (await machine.must('gantryd', ['--print-config'])).split('\n').sort();
    const asIs = await printed();
    const uncommented = text.replace(/^#( *[a-z_]+:)/gm, '$1');
    writeFileSync(path, uncommented);
    assert.deepEqual(await printed(), asIs);
    const keys = (config: string): number => (config.match(/^ *[a-z_]+:(?! \{\}$)/gm) ?? []).length;
    assert.equal(keys(uncommented), keys(asIs.join('\n')));
    // From here on it is the administrator's: names that no other machine of these tests has.
    const own = [
      'cgroup_supervisor:',
      `  cgroup_root: ${machine.cgroupRoot}`,
      'network_manager:',
      '  pool_size: 2',
      `  id_base: ${machine.idBase}`,
      '  id_ranges: 64',
    ];
    writeFileSync(path, `${text}\n${own.join('\n')}\n`);
  });

  for (const manual of manuals)
    test(`${basename(manual, '.gz')} is a manual page that nobody complains about`, async () => {
      const text = gunzipSync(readFileSync(join(machine.root, manual)));
      const lint = await runCommand('mandoc', ['-T', 'lint', '-W', 'warning'], { input: text });
      assert.equal(lint.stdout + lint.stderr, '');
      const groff = await runCommand('groff', ['-man', '-ww', '-Tutf8', '-rCHECKSTYLE=1', '-P-cbou'], {
        input: text,
      });
      assert.equal(groff.stderr, '');
      assert.match(groff.stdout, manual.includes('gantryd') ? /network_manager/ : /gantry run/);
    });

  test('completion of bash, zsh and fish is where each looks for it', async () => {
    const { run } = { run: await machine.must('gantry', ['__complete', '--', 'ru']) };
    assert.equal(run.trim(), 'run');
    const script =
      '. /usr/share/bash-completion/completions/gantry && COMP_WORDS=(gantry ru) COMP_CWORD=1 && _gantry && echo "$COMPREPLY"';
    assert.equal((await machine.must('bash', ['-c', script])).trim(), 'run');
    assert.match(
      await machine.must('cat', ['/usr/share/zsh/vendor-completions/_gantry']),
      /^#compdef gantry\n/,
    );
    assert.match(
      await machine.must('cat', ['/usr/share/fish/vendor_completions.d/gantry.fish']),
      /^complete -c gantry /m,
    );
  });

  test('a container runs, and an upgrade under it changes nothing for it', async () => {
    await gantry('up', '--detach');
    await gantry('load', '-q', '-i', '/srv/image.tar');
    assert.match(
      await gantry('run', '--rm', testImage, 'cat', '/proc/self/uid_map'),
      /^ +0 +[1-9]\d+ +65536/,
    );
    await runWeb();
    assert.match(await page(), /page of the test image/);
    const pid = await pidOf('web');
    const upgraded = await machine.must('dpkg', ['--install', '/srv/gantry.deb'], { timeoutMs: 120_000 });
    assert.match(upgraded, /gantry down --keep-containers/);
    assert.equal(await pidOf('web'), pid);
    await gantry('down', '--keep-containers');
    assert.match(await page(), /page of the test image/);
    await gantry('up', '--detach');
    assert.equal(await pidOf('web'), pid);
    assert.match(await gantry('exec', 'web', 'cat', '/www/index.html'), /page of the test image/);
    assert.match(await page(), /page of the test image/);
  });

  test('removal ends the containers and leaves images and configuration', async () => {
    await machine.must('apt-get', ['-qq', '-y', 'remove', 'gantry'], { timeoutMs: 120_000 });
    assert.deepEqual(await machine.processes(), []);
    assert.deepEqual((await machine.state()).cgroups, []);
    assert.deepEqual(await machine.mounts(), mountsBefore);
    assert.equal(existsSync(join(machine.root, 'usr/lib/gantry')), false);
    assert.match(readFileSync(join(machine.root, 'etc/gantry/gantry.yaml'), 'utf8'), /id_ranges: 64/);
    await install();
    await gantry('up', '--detach');
    assert.match(await gantry('images'), /test\.gantry\/box/);
    await gantry('rm', '-f', 'web');
  });

  test('purge leaves nothing, even after gantryd was killed beside running containers', async () => {
    await runWeb();
    await gantry('volume', 'create', 'kept');
    const gantryd = (await machine.must('cut', ['-d', ' ', '-f1', '/run/gantry/gantryd.pid'])).trim();
    await machine.must('sh', ['-c', `kill -KILL ${gantryd}`]);
    await machine.must('apt-get', ['-qq', '-y', 'purge', 'gantry'], { timeoutMs: 120_000 });
    const { cgroups, links, nftables } = await machine.state();
    assert.deepEqual(
      { processes: await machine.processes(), mounts: await machine.mounts(), cgroups, links, nftables },
      { processes: [], mounts: mountsBefore, cgroups: [], links: [], nftables: [] },
    );
    assert.equal((await machine.run('getent', ['group', 'gantry'])).code, 2);
    const known = new Set([...filesBefore, ...(await filesOfPackages())]);
    const added = (await machine.files()).filter(
      (path) =>
        !known.has(path) && !path.startsWith(archiveDirectory) && !bookkeeping.some((one) => one.test(path)),
    );
    assert.deepEqual(added, []);
    const named = (await machine.files()).filter(
      (path) => path.includes('gantry') && !filesBefore.includes(path),
    );
    assert.deepEqual(named, []);
  });

  /** What the packages that came with it, and stayed, have brought. */
  async function filesOfPackages(): Promise<string[]> {
    const lists = await machine.must('sh', [
      '-c',
      'cat /var/lib/dpkg/info/*.list; cat /var/lib/dpkg/info/*.conffiles',
    ]);
    return lists.split('\n').flatMap((path) => [path, path.replace(/^\/(bin|sbin|lib|lib64)\//, '/usr/$1/')]);
  }
});
