import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { rmSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, mustRun, runCommand, type CommandResult } from '@gantry/test-harness';
import { sweepDeadSessions } from './dead-sessions.js';
import { isUnified } from './machine.js';

export const podmanRuntimes = {
  'gantry-oci': fileURLToPath(new URL('../../../bin/gantry-oci', import.meta.url)),
  crun: 'crun',
} as const;

const applets =
  'sh cat ls sleep true touch id pwd echo mkdir grep wget httpd stty tty test hostname ps'.split(' ');
export const image = 'localhost/gantry-test-box';

/** Not an init worth its name, but it shows that podman's is what the container starts with. */
const stubInit = '#!/bin/sh\nshift\n"$@"\n';

/**
 * One podman with one runtime: storage, mounts and network of its own, so that neither the machine's podman nor its firewall is
 * touched. crun takes a hybrid hierarchy for one that it cannot use, so the v2 mount goes; so do the machine's /run and id ranges.
 */
const setUp = `set -eu
if [ -e /sys/fs/cgroup/unified/cgroup.procs ]; then umount -l /sys/fs/cgroup/unified; fi
# Where a v1 hierarchy is not mounted podman makes plain directories and files in its place: in a tmpfs that ends with us.
if [ ! -e /sys/fs/cgroup/cgroup.procs ]; then
  mkdir "$1/cgroup"
  mount -t tmpfs cgroup "$1/cgroup"
  for hierarchy in /sys/fs/cgroup/*; do
    mountpoint -q "$hierarchy" || continue
    mkdir "$1/cgroup/\${hierarchy##*/}"
    mount --bind "$hierarchy" "$1/cgroup/\${hierarchy##*/}"
  done
  mount --move "$1/cgroup" /sys/fs/cgroup
fi
mount -t tmpfs tmpfs /run
for file in /etc/subuid /etc/subgid; do [ -e $file ] && mount --bind "$1/subid" $file; done
ip link set lo up
touch "$1/ready"
exec sleep 1000`;

function writeImage(directory: string): void {
  mkdirSync(join(directory, 'bin'), { recursive: true });
  for (const name of ['etc', 'tmp', 'proc', 'sys', 'dev', 'run']) mkdirSync(join(directory, name));
  chmodSync(join(directory, 'tmp'), 0o1777);
  cpSync('/bin/busybox', join(directory, 'bin/busybox'));
  for (const name of applets) symlinkSync('busybox', join(directory, 'bin', name));
  writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n');
  writeFileSync(join(directory, 'etc/group'), 'root:x:0:\nalice:x:1000:\n');
}

function writeConfiguration(directory: string): void {
  writeFileSync(
    join(directory, 'containers.conf'),
    `[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
log_driver = "k8s-file"
init_path = "${directory}/init"
[network]
network_backend = "netavark"
network_config_dir = "${directory}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
static_dir = "${directory}/static"
volume_path = "${directory}/volumes"
helper_binaries_dir = ["/usr/lib/podman", "/usr/libexec/podman"]
`,
  );
  writeFileSync(
    join(directory, 'storage.conf'),
    `[storage]
driver = "overlay"
runroot = "${directory}/runroot"
graphroot = "${directory}/root"
[storage.options]
root-auto-userns-user = "containers"
`,
  );
  writeFileSync(join(directory, 'subid'), 'containers:1000000:1000000\n');
  writeFileSync(join(directory, 'init'), stubInit, { mode: 0o755 });
}

export class PodmanSession {
  readonly directory = mkdtempSync(join(tmpdir(), 'gantry-podman-'));
  readonly cgroupParent: string;
  private readonly runtime: string;
  private holder: ChildProcess | undefined;

  constructor(name: keyof typeof podmanRuntimes) {
    this.runtime = podmanRuntimes[name];
    this.cgroupParent = `gantry-podman-${process.pid}-${name}`;
    // An id mapped into a container must be able to reach its volumes.
    chmodSync(this.directory, 0o755);
  }

  async open(): Promise<void> {
    sweepDeadSessions('gantry-podman');
    writeConfiguration(this.directory);
    const words = ['--mount', '--net', '--propagation', 'private', 'sh', '-c', setUp, 'sh', this.directory];
    this.holder = spawn('unshare', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    await eventually('the namespaces are made', () => existsSync(join(this.directory, 'ready')));
    writeImage(join(this.directory, 'image'));
    const archive = join(this.directory, 'image.tar');
    await mustRun('tar', ['-C', join(this.directory, 'image'), '-cf', archive, '.']);
    await this.must('import', archive, image);
  }

  /** Any program where this podman and its containers are. */
  inside(program: string, words: readonly string[], input = ''): Promise<CommandResult> {
    const enter = ['--target', `${this.holder?.pid}`, '--mount', '--net', '--', program, ...words];
    const environment = {
      CONTAINERS_CONF: join(this.directory, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: join(this.directory, 'storage.conf'),
    };
    return runCommand('nsenter', enter, { environment, input, timeoutMs: 40_000, cwd: '/' });
  }

  commandLine(words: readonly string[]): readonly string[] {
    const places = ['root', 'runroot', 'tmp'].map((name) => join(this.directory, name));
    const [root = '', runroot = '', tmp = ''] = places;
    const first = ['--root', root, '--runroot', runroot, '--tmpdir', tmp, '--runtime', this.runtime];
    const makes =
      words[0] === 'run' || words[0] === 'create' || (words[0] === 'pod' && words[1] === 'create');
    if (!makes || words.includes('--pod')) return [...first, ...words];
    const verb = words.slice(0, words[0] === 'pod' ? 2 : 1);
    return [...first, ...verb, '--cgroup-parent', `/${this.cgroupParent}`, ...words.slice(verb.length)];
  }

  ask(...words: string[]): Promise<CommandResult> {
    return this.inside('podman', this.commandLine(words));
  }

  /** It must succeed; resolves with what it wrote, without the last line end. */
  async must(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.ask(...words);
    if (code !== 0) throw new Error(`podman ${words.join(' ')} ended with ${code}: ${stderr || stdout}`);
    return stdout.trimEnd();
  }

  /** The same with a pseudo-terminal that a person could sit at. */
  atTerminal(words: readonly string[], typed: string): Promise<CommandResult> {
    const quoted = ['podman', ...this.commandLine(words)].map((word) => `'${word}'`).join(' ');
    // What is typed before podman has set the terminal up is lost, as it is with a person.
    const typist = `(sleep 2; printf '%s' "$1"; sleep 1) | script -qec "$2" /dev/null`;
    return this.inside('sh', ['-c', typist, 'sh', typed, quoted]);
  }

  inspect(container: string, format: string): Promise<string> {
    return this.must('inspect', '--format', format, container);
  }

  /** A file of the container's cgroup, as the machine has it. */
  limit(controller: string, file: string, id: string): string {
    const hierarchy = isUnified ? '' : controller;
    const path = join('/sys/fs/cgroup', hierarchy, this.cgroupParent, `libpod-${id}`, file);
    return readFileSync(path, 'utf8').trim();
  }

  /** Ends everything, and says what podman and the runtime should have taken away themselves. */
  async close(): Promise<string[]> {
    const left: string[] = [];
    if (this.holder?.exitCode === null) {
      await this.ask('pod', 'rm', '--all', '--force', '--time', '0');
      await this.ask('rm', '--all', '--force', '--time', '0');
      const running = (): string[] =>
        processesNaming(this.directory).filter((pid) => pid !== `${this.holder?.pid}`);
      await eventually('the monitors end', () => running().length === 0).catch(() => undefined);
      for (const pid of running()) {
        left.push(`process ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`);
        process.kill(Number(pid), 'SIGKILL');
      }
      const ended = new Promise((resolve) => this.holder?.once('exit', resolve));
      this.holder.kill('SIGKILL');
      await ended;
    }
    // The parent, a pod's and `conmon` are podman's to make and to remove; a container's is the runtime's.
    for (const directory of cgroupsNamed(this.cgroupParent)) {
      const below = readdirSync(directory, { recursive: true, encoding: 'utf8' });
      for (const path of below)
        if (/(^|\/)libpod-[^/]+$/.test(path)) left.push(`cgroup ${join(directory, path)}`);
      await eventually('the cgroup is removed', () => (removeTree(directory), true)).catch(() => undefined);
    }
    rmSync(this.directory, { recursive: true, force: true });
    return left;
  }
}

function processesNaming(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

function cgroupsNamed(name: string): string[] {
  const mounts = readdirSync('/sys/fs/cgroup').map((hierarchy) => join('/sys/fs/cgroup', hierarchy, name));
  return [...mounts, join('/sys/fs/cgroup', name)].filter((path) => existsSync(path));
}

function removeTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  rmdirSync(directory);
}
