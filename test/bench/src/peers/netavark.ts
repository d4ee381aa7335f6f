import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Workplace } from '../workplace.js';
import type { PeerWorld } from './peer-world.js';

const places = ['/usr/lib/podman/netavark', '/usr/libexec/podman/netavark'];

/** Container number n of a bridge network, as podman describes it to netavark. */
const describeContainer = (number: number): object => ({
  container_id: `${number}`.padStart(64, '0'),
  container_name: `bench${number}`,
  networks: { bench: { static_ips: [`10.99.0.${number + 1}`], interface_name: 'eth0' } },
  network_info: {
    bench: {
      name: 'bench',
      id: 'b'.repeat(64),
      driver: 'bridge',
      network_interface: 'bench0',
      subnets: [{ subnet: '10.99.0.0/16', gateway: '10.99.0.1' }],
      ipv6_enabled: false,
      internal: false,
      dns_enabled: false,
      ipam_options: { driver: 'host-local' },
      created: '2024-01-01T00:00:00Z',
    },
  },
});

/**
 * Milliseconds of each `netavark setup`: an interface, an address and the rules for a network namespace that is there
 * already. Another container stays on the bridge, so that the bridge and its rules are there too.
 */
export async function measureNetavark(
  world: PeerWorld,
  workplace: Workplace,
  runs: number,
): Promise<number[]> {
  const program = places.find((place) => existsSync(place));
  if (program === undefined) throw new Error(`no netavark in ${places.join(' or ')}: install netavark`);
  const directory = join(workplace.directory, 'netavark');
  mkdirSync(directory);
  const configOf = (number: number): string => join(directory, `container${number}.json`);
  for (const number of [1, 2]) writeFileSync(configOf(number), JSON.stringify(describeContainer(number)));
  const netavark = (verb: string, number: number): string =>
    `${program} --config /run/netavark --file ${configOf(number)} ${verb} /run/netns/bench${number}`;

  const prepare = join(directory, 'prepare');
  writeFileSync(
    prepare,
    `ip netns list | grep -q '^bench2' && ${netavark('teardown', 2)} && ip netns del bench2\nexec ip netns add bench2\n`,
  );
  const output = join(directory, 'times.json');
  await world.mustRun('mkdir', ['-p', '/run/netavark']);
  await world.mustRun('ip', ['netns', 'add', 'bench1']);
  await world.mustRun('sh', ['-c', netavark('setup', 1)]);
  await world.mustRun(
    'hyperfine',
    [
      '--shell=none',
      '--style=none',
      '--warmup=2',
      `--runs=${runs}`,
      `--prepare=sh ${prepare}`,
      `--export-json=${output}`,
      netavark('setup', 2),
    ],
    { timeoutMs: 120_000 },
  );
  for (const number of [2, 1]) {
    await world.mustRun('sh', ['-c', `${netavark('teardown', number)} && ip netns del bench${number}`]);
  }
  const { results } = JSON.parse(readFileSync(output, 'utf8')) as { results: { times: number[] }[] };
  return (results[0]?.times ?? []).map((seconds) => seconds * 1000);
}
