import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './bus-fixture.js';

/** Debian's docker-registry on the loopback, with a directory of its own. */
export class RealRegistry {
  readonly host: string;
  readonly directory: string;
  readonly #process: ChildProcess;

  private constructor(host: string, directory: string, child: ChildProcess) {
    this.host = host;
    this.directory = directory;
    this.#process = child;
  }

  /** `htpasswd`: content of a password file; absent means that everybody may do everything. */
  static async start(directory: string, htpasswd?: string): Promise<RealRegistry> {
    const port = await freePort();
    mkdirSync(join(directory, 'data'), { recursive: true });
    const passwords = join(directory, 'htpasswd');
    if (htpasswd !== undefined) writeFileSync(passwords, htpasswd);
    const config = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: `127.0.0.1:${port}` },
      ...(htpasswd === undefined ? {} : { auth: { htpasswd: { realm: 'test', path: passwords } } }),
    };
    const path = join(directory, 'config.yml');
    writeFileSync(path, JSON.stringify(config));
    const child = spawn('docker-registry', ['serve', path], { stdio: 'ignore' });
    const registry = new RealRegistry(`127.0.0.1:${port}`, directory, child);
    for (let tries = 0; tries < 200; tries++) {
      const up = await fetch(`http://${registry.host}/v2/`).then(
        () => true,
        () => false,
      );
      if (up) return registry;
      await sleep(25);
    }
    await registry.stop();
    throw new Error('docker-registry did not come up');
  }

  /** Copies an image into the registry with skopeo. */
  push(source: string, name: string, ...options: string[]): void {
    skopeo('copy', '--dest-tls-verify=false', ...options, source, `docker://${this.host}/${name}`);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }
}

export function skopeo(...args: string[]): void {
  execFileSync('skopeo', ['--insecure-policy', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
}

export function umoci(...args: string[]): void {
  execFileSync('umoci', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
