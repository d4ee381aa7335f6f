import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { createAuthority } from '@gantry/membership/certificates';
import { membershipPaths, writeClusterFile, writeMembership, writeView } from '@gantry/membership';
import { pino } from 'pino';
import type { NodeConfig } from './config-schema.js';
import { MemberFollower } from './member-follower.js';
import { loadMember, type Member } from './member.js';
import { clusterId, eventually, makeHost, viewOf, type Host } from './testing/cluster-host.js';

const configOf = ({ directory }: Host): NodeConfig => ({ state_dir: directory }) as NodeConfig;

const textOf = (path: string): string => readFileSync(path, 'utf8');

function writeMember(host: Host, changes: Partial<Host['membership']> = {}): void {
  writeClusterFile(membershipPaths(host.directory).routeSecret, 'secret\n');
  writeView(host.directory, viewOf([host]));
  writeMembership(host.directory, { ...host.membership, ...changes });
}

test('a node is a member from the rename of its membership on, and no longer', async (t) => {
  const host = await makeHost(t, await createAuthority(clusterId), 'aaaaaaaaaaaaaaaa', 'control');
  assert.equal(await loadMember(configOf(host)), undefined);
  writeMember(host);
  const member = await loadMember(configOf(host));
  assert.equal(member?.routeSecret, 'secret');
  rmSync(membershipPaths(host.directory).membership);
  assert.equal(await loadMember(configOf(host)), undefined);
});

test('files that nats-server would not run with are refused by name', async (t) => {
  const authority = await createAuthority(clusterId);
  const host = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const stranger = await makeHost(t, await createAuthority(clusterId), 'bbbbbbbbbbbbbbbb', 'control');
  const paths = membershipPaths(host.directory);
  const others = membershipPaths(stranger.directory);
  writeMember(host);
  const spoils: readonly (readonly [path: string, content: string, refusal: RegExp])[] = [
    [paths.membership, '{"version":', /membership\.json cannot be understood/],
    [paths.view, '', /view\.json cannot be understood/],
    [paths.certificate, 'half', /node\.pem cannot be understood/],
    [paths.key, '', /node\.key is empty/],
    [paths.routeSecret, '', /route\.secret is empty/],
    [paths.certificate, textOf(others.certificate), /node\.pem was not signed by the authority/],
    [paths.key, textOf(others.key), /node\.key does not belong to/],
  ];
  for (const [path, content, refusal] of spoils) {
    const whole = textOf(path);
    writeFileSync(path, content);
    await assert.rejects(loadMember(configOf(host)), refusal);
    writeFileSync(path, whole);
  }
  // 192.0.2.0/24 is nobody's: RFC 5737.
  writeMember(host, { address: '192.0.2.7' });
  await assert.rejects(loadMember(configOf(host)), /192\.0\.2\.7, which is none of this machine/);
});

test('a follower takes a broken membership for none, and takes it up as soon as it is mended', async (t) => {
  const host = await makeHost(t, await createAuthority(clusterId), 'aaaaaaaaaaaaaaaa', 'worker');
  const { view } = membershipPaths(host.directory);
  writeMember(host);
  writeFileSync(view, 'half');
  const follower = new MemberFollower(configOf(host), pino({ level: 'silent' }));
  t.after(() => follower.stop());
  assert.equal(await follower.look(), undefined);
  const places: (Member | undefined)[] = [];
  follower.follow({
    control: undefined,
    reconfigure: (member) => {
      places.push(member);
      return Promise.resolve();
    },
  });
  writeView(host.directory, viewOf([host]));
  await eventually('the membership is taken up', () =>
    Promise.resolve(places.some((place) => place?.membership.nodeId === host.nodeId) ? true : undefined),
  );
});

test('a change between the first look and the watch is not missed', async (t) => {
  const host = await makeHost(t, await createAuthority(clusterId), 'aaaaaaaaaaaaaaaa', 'worker');
  const follower = new MemberFollower(configOf(host), pino({ level: 'silent' }));
  t.after(() => follower.stop());
  assert.equal(await follower.look(), undefined);
  writeMember(host);
  let taken = false;
  follower.follow({
    control: undefined,
    reconfigure: (member) => {
      taken ||= member !== undefined;
      return Promise.resolve();
    },
  });
  await eventually('it is taken', () => Promise.resolve(taken ? true : undefined), 5_000);
});

test('a place that the bus refuses is tried again', async (t) => {
  const host = await makeHost(t, await createAuthority(clusterId), 'aaaaaaaaaaaaaaaa', 'worker');
  const follower = new MemberFollower(configOf(host), pino({ level: 'silent' }));
  t.after(() => follower.stop());
  await follower.look();
  let tries = 0;
  follower.follow({
    control: undefined,
    reconfigure: () => {
      tries += 1;
      return tries === 1 ? Promise.reject(new Error('refused')) : Promise.resolve();
    },
  });
  writeMember(host);
  await eventually('it was refused', () => Promise.resolve(tries === 1 ? true : undefined));
  writeView(host.directory, viewOf([host]));
  await eventually('it is tried again at the next change', () =>
    Promise.resolve(tries === 2 ? true : undefined),
  );
});
