import assert from 'node:assert/strict';
import { after, afterEach, before, describe } from 'node:test';
import { describeDifferences, differences, footprint, type Footprint } from './footprint.js';
import { assertNothingLeft, skipUnlessRoot } from './node-suite.js';
import { TestCluster, type HostRole, type TestClusterOptions } from './test-cluster.js';
import { eventually } from './wait.js';

const readFootprints = (cluster: TestCluster): Promise<Footprint[]> =>
  Promise.all(cluster.hosts.map((host) => footprint(host)));

/**
 * Defines the tests with one cluster for all of them. After every test all stacks are removed and each host must be as
 * before it; after the last the nodes go down and nothing of them may be left.
 */
export function describeOnCluster(
  title: string,
  roles: readonly HostRole[],
  define: (getCluster: () => TestCluster) => void,
  options: TestClusterOptions = {},
): void {
  void describe(title, { skip: skipUnlessRoot }, () => {
    let cluster: TestCluster | undefined;
    let earlier: Footprint[] = [];
    const getCluster = (): TestCluster => {
      assert.ok(cluster, 'the cluster did not form');
      return cluster;
    };
    before(async () => {
      cluster = await TestCluster.form(roles, options);
    });
    afterEach(async () => {
      const current = getCluster();
      await current.heal();
      await current.removeStacks();
      // Volumes outlive their stacks, and a test may have containers of its own.
      await Promise.all(current.hosts.map((host) => host.removeContainers()));
      let now = await readFootprints(current);
      const differ = (): string[] =>
        now.flatMap((one, index) => {
          const reference = earlier[index];
          return reference === undefined || differences(reference, one).length === 0
            ? []
            : [`host ${index}: ${describeDifferences(reference, one)}`];
        });
      try {
        await eventually('nothing is left', async () => {
          now = await readFootprints(current);
          return differ().length === 0;
        });
      } catch {
        const text = differ().join('\n');
        earlier = now;
        assert.fail(`something is left behind:\n${text}`);
      }
    });
    define(getCluster);
    // After what the tests themselves start. Pools fill up in the background: wait for two equal looks.
    before(async () => {
      let last = await readFootprints(getCluster());
      earlier = await eventually('the hosts are at rest', async () => {
        await new Promise((resolve) => setTimeout(resolve, 150));
        const next = await readFootprints(getCluster());
        const previous = last;
        last = next;
        const still = next.every((one, index) => {
          const before = previous[index];
          return before !== undefined && differences(before, one).length === 0;
        });
        return still ? next : undefined;
      });
    });
    after(async () => {
      if (cluster === undefined) return;
      try {
        // Workers first: nobody moves tasks to a node that is about to go.
        for (const host of [...cluster.hosts].reverse()) assertNothingLeft(await host.stop(), host);
      } finally {
        await cluster.destroy();
      }
    });
  });
}
