import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { GantryError } from '@gantry/protocol';
import type { Address } from './ipv4.js';

/** A link of a network namespace. Counters are the link's own: what its namespace received and sent. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** "bridge", "veth", …; empty for plain devices. */
  readonly kind: string;
  /** Index of the bridge it is attached to, 0 for none. */
  readonly master: number;
  /** Hardware address, six bytes; all 0 without one. */
  readonly mac: Uint8Array;
  readonly up: boolean;
  readonly mtu: number;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

export interface Sysctl {
  /** Below /proc/sys: "net/ipv4/ip_forward". */
  readonly path: string;
  readonly value: string;
}

export interface SandboxPlan {
  /** Existing directory that gets the files `user` and `net`. */
  readonly directory: string;
  readonly ownUserNamespace: boolean;
  readonly ownNetNamespace: boolean;
  readonly idBase: number;
  readonly idCount: number;
  readonly sysctls: readonly Sysctl[];
  readonly interface: {
    readonly hostName: string;
    readonly bridgeIndex: number;
    readonly mac: Uint8Array;
    readonly address: Address;
    readonly prefixLength: number;
    readonly gateway: Address;
  } | null;
}

/** Device and inode of the pinned namespaces; 0 for one that was not asked for. */
export interface SandboxHandles {
  readonly userDevice: number;
  readonly userInode: number;
  readonly netDevice: number;
  readonly netInode: number;
}

export interface Doomed {
  readonly directory: string;
  /** Empty when there is no interface on the host. */
  readonly hostInterface: string;
}

/** What the native addon does, each on a thread of its own; rejections are Errors with `stage`, `code` and `path`. */
export interface Kernel {
  makeSandbox(plan: SandboxPlan): Promise<SandboxHandles>;
  /** Already gone is no error. `group` is a link group that belongs to this node alone. At most 64 at once. */
  destroySandboxes(doomed: readonly Doomed[], group: number): Promise<null>;
  deleteLinks(names: readonly string[], group: number): Promise<null>;
  attachLinks(names: readonly string[], bridgeIndex: number): Promise<null>;
  /** Lets frames leave through the bridge port they came in by. */
  setHairpin(names: readonly string[]): Promise<null>;
  /** Answers the bridge's index. */
  ensureBridge(bridge: {
    name: string;
    address: Address;
    prefixLength: number;
    mac: Uint8Array;
  }): Promise<number>;
  listLinks(): Promise<Link[]>;
  /** Links inside the network namespace pinned at `path`. */
  listLinksInside(path: string): Promise<Link[]>;
  writeSysctls(path: string, sysctls: readonly Sysctl[]): Promise<null>;
  /** Makes the directory a shared mount of its own. */
  shareDirectory(path: string): Promise<null>;
  /** Undoes shareDirectory. */
  releaseDirectory(path: string): Promise<null>;
  /** Forgets the connections to a container's address. */
  cutConnections(address: Address): Promise<null>;
  /** One nftables transaction; answers what it prints. */
  runNft(commands: string, json: boolean): Promise<string>;
  /** Null when the port can be bound, else the name of the errno. */
  probePort(tcp: boolean, address: Address, port: number): string | null;
}

/** A refusal by the kernel, as the addon words it. */
export interface KernelError extends Error {
  readonly stage: string;
  /** Name of the errno: "EEXIST". */
  readonly code: string;
  readonly path: string;
}

export function isKernelError(error: unknown): error is KernelError {
  return error instanceof Error && 'stage' in error && 'code' in error;
}

/** Loads the addon. */
export function openKernel(): Kernel {
  const directory =
    process.env['GANTRY_NATIVE_DIR'] ?? fileURLToPath(new URL('../../../build/native/', import.meta.url));
  const file = `${directory.replace(/\/$/, '')}/network-manager.node`;
  try {
    return createRequire(import.meta.url)(file) as Kernel;
  } catch (cause) {
    throw new GantryError({
      code: 'failed_precondition',
      operation: 'start',
      object: file,
      message: `native code of the network manager cannot be loaded from ${file}: ${(cause as Error).message}`,
      cause,
    });
  }
}
