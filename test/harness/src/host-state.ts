import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { NetworkNamespace } from './network-namespace.js';

/** Where a node's traces may be found. */
export interface Territory {
  readonly directories: readonly string[];
  readonly cgroupRoot: string;
  readonly network: NetworkNamespace;
}

/** Everything of a node that the machine knows of; one line a thing. */
export interface HostState {
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly nftables: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly string[];
  readonly files: readonly string[];
}

export async function readHostState(territory: Territory): Promise<HostState> {
  return {
    mounts: readMounts(territory.directories),
    links: await readLinks(territory.network),
    nftables: await readNftables(territory.network),
    cgroups: readCgroups(territory.cgroupRoot),
    processes: readProcesses(territory),
    files: territory.directories.flatMap((directory) => listFiles(directory, 3)),
  };
}

function readMounts(directories: readonly string[]): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) =>
      directories.some((directory) => target === directory || target.startsWith(`${directory}/`)),
    );
}

async function readLinks(network: NetworkNamespace): Promise<string[]> {
  const links = JSON.parse(await network.mustRun('ip', ['-json', 'link'])) as { ifname: string }[];
  return links
    .map(({ ifname }) => ifname)
    .filter((name) => name !== 'lo' && name !== 'outside0')
    .sort();
}

async function readNftables(network: NetworkNamespace): Promise<string[]> {
  return (await network.mustRun('nft', ['-n', 'list', 'ruleset']))
    .split('\n')
    .filter((line) => line.trim() !== '');
}

function readCgroups(root: string): string[] {
  return listDirectories('/sys/fs/cgroup').flatMap((hierarchy) => {
    const top = join(hierarchy, root);
    return isDirectory(top) ? [top, ...listDirectoriesDeep(top)] : [];
  });
}

/** Processes in the node's network, with its directories in their command line, or in its cgroups. */
function readProcesses({ directories, cgroupRoot, network }: Territory): string[] {
  const networkInode = statSync(network.path).ino;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        const isOurs =
          readlinkSync(`/proc/${pid}/ns/net`) === `net:[${networkInode}]` ||
          // With what follows: slot 1's directory begins like slot 10's.
          directories.some((directory) => `${command} `.search(`${directory}[/ ]`) !== -1) ||
          readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`/${cgroupRoot}/`);
        return isOurs && command !== '' ? [`${pid} ${command.slice(0, 160)}`] : [];
      } catch {
        return [];
      }
    });
}

function listFiles(directory: string, depth: number): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const path = join(directory, name);
    return depth > 1 && isDirectory(path) ? [path, ...listFiles(path, depth - 1)] : [path];
  });
}

function listDirectories(directory: string): string[] {
  try {
    return readdirSync(directory)
      .map((name) => join(directory, name))
      .filter(isDirectory);
  } catch {
    return [];
  }
}

function listDirectoriesDeep(directory: string): string[] {
  return listDirectories(directory).flatMap((inner) => [inner, ...listDirectoriesDeep(inner)]);
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch {
    return false;
  }
}
