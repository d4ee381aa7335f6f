import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  membershipPaths,
  writeClusterFile,
  writeMembership,
  writeView,
  type MembershipRecord,
} from '@gantry/membership';
import type { control } from '@gantry/protocol';

/** All that makes a node a member. */
export interface NewMember {
  readonly record: MembershipRecord;
  /** PEM texts. */
  readonly caCertificate: string;
  readonly certificate: string;
  readonly key: string;
  readonly view: control.ClusterView;
  /** Control nodes only; empty elsewhere. */
  readonly caKey: string;
  readonly routeSecret: string;
}

/** Writes everything, `membership.json` last: from its rename on the node is a member. What fails leaves none. */
export function writeMember(stateDirectory: string, member: NewMember): void {
  const paths = membershipPaths(stateDirectory);
  try {
    forgetCluster(stateDirectory);
    writeClusterFile(paths.caCertificate, member.caCertificate);
    writeClusterFile(paths.certificate, member.certificate + member.caCertificate);
    writeClusterFile(paths.key, member.key);
    if (member.caKey !== '') writeClusterFile(paths.caKey, member.caKey);
    if (member.routeSecret !== '') writeClusterFile(paths.routeSecret, `${member.routeSecret}\n`);
    writeView(stateDirectory, member.view);
    writeMembership(stateDirectory, member.record);
  } catch (error) {
    forgetCluster(stateDirectory);
    throw error;
  }
}

/** In the cluster's directory from a leave's begin to its end, so that the next agent finishes what this one cannot. */
const leavingMark = (stateDirectory: string): string =>
  join(membershipPaths(stateDirectory).directory, 'leaving');

export const markLeaving = (stateDirectory: string): void =>
  writeClusterFile(leavingMark(stateDirectory), '');

export const unmarkLeaving = (stateDirectory: string): void =>
  rmSync(leavingMark(stateDirectory), { force: true });

export const isLeaving = (stateDirectory: string): boolean => existsSync(leavingMark(stateDirectory));

/** The node is no member from here on: `membership.json` goes first, then the rest. */
export function forgetCluster(stateDirectory: string): void {
  const { membership, directory } = membershipPaths(stateDirectory);
  rmSync(membership, { force: true });
  rmSync(directory, { recursive: true, force: true });
}

/** Stores of clusters that this node has left. Only while it is no member: else nats-server has them open. */
export function discardStores(stateDirectory: string): void {
  const directory = join(stateDirectory, 'nats');
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return;
  }
  for (const name of names)
    if (/^js-\d+$/.test(name)) rmSync(join(directory, name), { recursive: true, force: true });
}
