import { existsSync, readFileSync, rmSync } from 'node:fs';
import { membershipPaths, writeClusterFile, type MembershipRecord } from '@gantry/membership';
import { GantryError, control } from '@gantry/protocol';
import { encodeJson, type Contents, type Store, type StoreMeta } from './store.js';

/** Writes beside each other while a store is filled. */
const writesAtOnce = 64;

/** Entries that belong to one bucket and not to what it holds. */
const ownEntries: ReadonlySet<string> = new Set(['meta', 'leader']);

/** Keeps what a store of the generation is to hold, synced: the store can be filled from it as often as it takes. */
export function writeSeed(stateDirectory: string, generation: number, contents: Contents): void {
  const entries = [...contents]
    .filter(([key]) => !ownEntries.has(key))
    .map(([key, data]) => [key, Buffer.from(data).toString('base64')]);
  writeClusterFile(
    membershipPaths(stateDirectory).storeSeed(generation),
    `${JSON.stringify(Object.fromEntries(entries))}\n`,
  );
}

function readSeed(stateDirectory: string, generation: number): Contents | undefined {
  const path = membershipPaths(stateDirectory).storeSeed(generation);
  if (!existsSync(path)) return undefined;
  const entries = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  return new Map(Object.entries(entries).map(([key, text]) => [key, Buffer.from(text, 'base64')]));
}

export function removeSeed(stateDirectory: string, generation: number): void {
  rmSync(membershipPaths(stateDirectory).storeSeed(generation), { force: true });
}

/** Fills a store from its seed, or as that of a cluster that begins; its meta comes last and makes it whole. */
export async function fillStore(
  store: Store,
  stateDirectory: string,
  membership: MembershipRecord,
  view: control.ClusterView,
  hostname: string,
  signal: AbortSignal,
): Promise<void> {
  // Also what an earlier try has written: its revisions are needed.
  if ((await store.lastRevision()) > 0) await store.load(0, signal);
  const contents =
    readSeed(stateDirectory, view.storeGeneration) ?? firstContents(membership, view, hostname);
  const waiting = [...contents];
  const writeSome = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (signal.aborted) throw stopped();
      await store.write(...next);
    }
  };
  await Promise.all(Array.from({ length: writesAtOnce }, writeSome));
  const meta: StoreMeta = {
    clusterId: membership.clusterId,
    generation: view.storeGeneration,
    controls: view.members.filter(({ role }) => role === 'NODE_ROLE_CONTROL').length,
  };
  await store.write('meta', encodeJson(meta));
}

/** A cluster that begins knows its first node. */
export function firstContents(
  membership: MembershipRecord,
  view: control.ClusterView,
  hostname: string,
): Contents {
  const contents = new Map<string, Uint8Array>();
  for (const member of view.members) {
    const record: control.NodeRecord = {
      nodeId: member.nodeId,
      role: member.role,
      availability: 'AVAILABILITY_ACTIVE',
      labels: {},
      address: member.address,
      leafPort: member.leafPort,
      routePort: member.routePort,
      apiPort: member.apiPort,
      busKey: member.busKey,
      joinedUnixMs: Date.now(),
      hostname: member.nodeId === membership.nodeId ? hostname : '',
      controlPending: false,
      maintenance: false,
    };
    contents.set(`node.${member.nodeId}`, control.NodeRecordCodec.encode(record));
  }
  for (const token of view.apiTokens)
    contents.set(`apitoken.${token.id}`, control.ApiTokenCodec.encode(token));
  return contents;
}

const stopped = (): GantryError =>
  new GantryError({
    code: 'unavailable',
    operation: 'fill store',
    object: 'store',
    message: 'control is stopping',
  });
