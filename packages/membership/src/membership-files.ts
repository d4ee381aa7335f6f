import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { GantryError, type control } from '@gantry/protocol';

/** What makes a node a member of a cluster: `<state_dir>/cluster/membership.json`. */
export interface MembershipRecord {
  readonly version: 1;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly role: 'control' | 'worker';
  /** Joined as a control node and runs as a worker until there are three. */
  readonly controlPending: boolean;
  /** Address under which other nodes reach this one. */
  readonly address: string;
  readonly leafPort: number;
  readonly routePort: number;
  readonly apiPort: number;
}

/** Every file of `<state_dir>/cluster`; docs/adr/0004 says who writes which. */
export interface MembershipPaths {
  readonly directory: string;
  readonly membership: string;
  readonly view: string;
  readonly caCertificate: string;
  /** The node's certificate followed by the authority's. */
  readonly certificate: string;
  readonly key: string;
  /** Control nodes only. */
  readonly caKey: string;
  readonly routeSecret: string;
  /** What the agent has seen of the store. */
  readonly seen: string;
  /** What control has seen of the store. */
  readonly controlSeen: string;
  /** Contents for the store of a generation. */
  storeSeed(generation: number): string;
}

export function membershipPaths(stateDirectory: string): MembershipPaths {
  const directory = join(stateDirectory, 'cluster');
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    membership: at('membership.json'),
    view: at('view.json'),
    caCertificate: at('ca.pem'),
    certificate: at('node.pem'),
    key: at('node.key'),
    caKey: at('ca.key'),
    routeSecret: at('route.secret'),
    seen: at('seen.json'),
    controlSeen: at('control.json'),
    storeSeed: (generation) => at(`store-seed-${generation}.json`),
  };
}

/** Undefined when the node is in no cluster. Throws `data_loss` naming the file when it cannot be understood. */
export function readMembership(stateDirectory: string): MembershipRecord | undefined {
  return readJson<MembershipRecord>(
    membershipPaths(stateDirectory).membership,
    (value) => value.version === 1,
  );
}

/** Undefined before the first view. Every field is present. */
export function readView(stateDirectory: string): control.ClusterView | undefined {
  return readJson<control.ClusterView>(membershipPaths(stateDirectory).view, (value) =>
    Array.isArray(value.members),
  );
}

export function writeMembership(stateDirectory: string, record: MembershipRecord): void {
  writeClusterFile(membershipPaths(stateDirectory).membership, `${JSON.stringify(record, null, 2)}\n`);
}

export function writeView(stateDirectory: string, view: control.ClusterView): void {
  writeClusterFile(membershipPaths(stateDirectory).view, `${JSON.stringify(view, null, 2)}\n`);
}

/** Replaces one file of the cluster's directory as a whole, synced, 0600: old content or new, also after power loss. */
export function writeClusterFile(path: string, content: string): void {
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.new`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const directory = openSync(join(path, '..'), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function readJson<T>(path: string, fits: (value: T) => boolean): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const value = JSON.parse(text) as T;
    if (fits(value)) return value;
  } catch {
    // told below
  }
  throw new GantryError({
    code: 'data_loss',
    operation: 'read membership',
    object: path,
    message: `${path} cannot be understood: restore it, or remove ${join(path, '..')} and join the cluster again`,
  });
}
