import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** config.json, as far as these tests know it. */
export interface Config {
  process: { args: string[]; terminal: boolean; apparmorProfile?: string };
  linux: { namespaces: { type: string }[]; [name: string]: unknown };
  [name: string]: unknown;
}

export interface Who {
  /** The runtime and its options before the verb. */
  readonly command: readonly string[];
  /** alice, or root. */
  readonly uid?: number;
  /** Where the runtime itself runs; absent: where the tests do. */
  readonly cgroup?: string;
}

/** Somebody with a directory of bundles, who asks one runtime. */
export class Caller {
  readonly directory = mkdtempSync('/tmp/guest-');
  readonly #who: Who;
  #count = 0;

  constructor(who: Who) {
    this.#who = who;
    const bin = join(this.directory, 'rootfs/bin');
    for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp', 'data'])
      mkdirSync(join(this.directory, 'rootfs', name), { recursive: true });
    copyFileSync('/bin/busybox', join(bin, 'busybox'));
    for (const name of ['sh', 'true', 'sleep', 'cat', 'id', 'ls', 'touch', 'chown', 'dd'])
      symlinkSync('busybox', join(bin, name));
    for (const path of ['', 'rootfs', 'rootfs/tmp', 'rootfs/data']) this.own(join(this.directory, path));
  }

  own(path: string): void {
    if (this.#who.uid !== undefined) chownSync(path, this.#who.uid, this.#who.uid);
  }

  /** Output goes to files: a container keeps it open. */
  ask(words: readonly string[], input = ''): Said {
    const [out, error, input_] = ['out', 'error', 'input'].map((name) => join(this.directory, name));
    writeFileSync(input_ ?? '', input);
    const stdio = [openSync(input_ ?? '', 'r'), openSync(out ?? '', 'w'), openSync(error ?? '', 'w')];
    const { uid } = this.#who;
    const become =
      uid === undefined ? [] : ['/usr/bin/setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
    const { cgroup } = this.#who;
    const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
    const move = cgroup === undefined ? [] : ['sh', '-c', script, join('/sys/fs/cgroup', cgroup)];
    const [program = '', ...first] = [...move, ...become, ...this.#who.command];
    const environment = uid === undefined ? {} : { XDG_RUNTIME_DIR: `/run/user/${uid}`, HOME: '/' };
    const { status } = spawnSync(program, [...first, '--root', join(this.directory, 'state'), ...words], {
      cwd: this.directory,
      env: { PATH: process.env['PATH'], ...environment },
      stdio,
      timeout: 60_000,
    });
    for (const descriptor of stdio) closeSync(descriptor);
    return {
      code: status,
      stdout: readFileSync(out ?? '', 'utf8'),
      stderr: readFileSync(error ?? '', 'utf8'),
    };
  }

  must(words: readonly string[], input = ''): string {
    const { code, stdout, stderr } = this.ask(words, input);
    assert.equal(code, 0, `${words.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** What `spec` writes, with another command. */
  bundle(args: string[], change: (config: Config) => void = () => undefined): { id: string; bundle: string } {
    const id = `guest${process.pid}n${++this.#count}`;
    const bundle = join(this.directory, id);
    mkdirSync(bundle);
    this.own(bundle);
    this.must(['spec', ...(this.#who.uid === undefined ? [] : ['--rootless'])].concat('--bundle', bundle));
    const file = join(bundle, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as Config;
    Object.assign(config.process, { args, terminal: false });
    config['root'] = { path: join(this.directory, 'rootfs') };
    change(config);
    writeFileSync(file, JSON.stringify(config));
    return { id, bundle };
  }

  pidOf(id: string): number {
    return (JSON.parse(this.must(['state', id])) as { pid: number }).pid;
  }
}

/** The path of a process in the one hierarchy. */
export function cgroupOf(pid: number | string): string {
  return readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().replace(/^0::/, '');
}

export const readLimit = (cgroup: string, file: string): string =>
  readFileSync(join('/sys/fs/cgroup', cgroup, file), 'utf8').trim();
