import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Kernel settings of the host's network namespace: /proc/sys/net of the calling thread. */
export interface SettingFiles {
  /** Undefined when there is no such setting. */
  read(path: string): string | undefined;
  write(path: string, value: string): void;
  /** Names of the interfaces with IPv4 settings. */
  interfaces(): string[];
}

export const procSettings: SettingFiles = {
  read: (path) => {
    try {
      return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
    } catch {
      return undefined;
    }
  },
  write: (path, value) => writeFileSync(`/proc/sys/${path}`, value),
  interfaces: () =>
    readdirSync('/proc/sys/net/ipv4/conf').filter(
      (name) => name !== 'all' && name !== 'default' && name !== 'lo',
    ),
};

/**
 * Lets the host forward for the bridge without making it a router for anybody else.
 *
 * Where `net.ipv4.ip_forward` is on, the host is a router by its owner's will and nothing more is needed. Where it is
 * off, forwarding is switched on per interface: for the bridge (what containers send) and for every other interface
 * (the replies; the kernel asks the interface a packet came in by). Those others are remembered here and on disk: the
 * rules drop what came in through them and is neither for a container nor part of a connection, and `restore` gives
 * them back. Because the global switch is never touched by us, its being on always means somebody else wants it.
 */
export class HostForwarding {
  readonly #files: SettingFiles;
  readonly #bridge: string;
  readonly #notePath: string;
  readonly #isOurs: (name: string) => boolean;
  /** What we changed; kept while the change lasts, even when the owner switched forwarding on since. */
  #changed: string[] = [];

  constructor(files: SettingFiles, bridge: string, directory: string, isOurs: (name: string) => boolean) {
    this.#files = files;
    this.#bridge = bridge;
    this.#notePath = join(directory, 'forwarding.json');
    this.#isOurs = isOurs;
    try {
      this.#changed = JSON.parse(readFileSync(this.#notePath, 'utf8')) as string[];
    } catch {
      // No note: nothing was changed in this boot.
    }
  }

  /** Brings settings to what they must be; answers the interfaces whose forwarding the rules must hold in check. */
  apply(): string[] {
    const conf = (name: string, key: string): string => `net/ipv4/conf/${name}/${key}`;
    this.#set(conf(this.#bridge, 'forwarding'), '1');
    // Replies to 127.0.0.1 leave connection tracking with that address on the bridge and would be dropped as martians.
    this.#set(conf(this.#bridge, 'route_localnet'), '1');
    // IPv4 only: an IPv6 link-local address on the bridge would be one more way to the host.
    this.#set('net/ipv6/conf/' + this.#bridge + '/disable_ipv6', '1');
    if (this.#files.read('net/ipv4/ip_forward') === '1') return [];
    const present = this.#files.interfaces().filter((name) => name !== this.#bridge && !this.#isOurs(name));
    const closed = present.filter((name) => this.#files.read(conf(name, 'forwarding')) === '0');
    if (closed.length > 0) {
      this.#note([...new Set([...this.#changed, ...closed])]);
      for (const name of closed) this.#set(conf(name, 'forwarding'), '1');
    }
    return this.#changed.filter((name) => present.includes(name)).sort();
  }

  /** Undoes what we changed, unless the owner has since made the host a router. */
  restore(): void {
    if (this.#files.read('net/ipv4/ip_forward') === '0') {
      for (const name of this.#changed) {
        const path = `net/ipv4/conf/${name}/forwarding`;
        if (this.#files.read(path) !== undefined) this.#files.write(path, '0');
      }
    }
    this.#changed = [];
    rmSync(this.#notePath, { force: true });
  }

  #note(names: string[]): void {
    this.#changed = names;
    writeFileSync(`${this.#notePath}.new`, JSON.stringify(names), { mode: 0o600 });
    renameSync(`${this.#notePath}.new`, this.#notePath);
  }

  #set(path: string, value: string): void {
    const now = this.#files.read(path);
    if (now !== undefined && now !== value) this.#files.write(path, value);
  }
}
