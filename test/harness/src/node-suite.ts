import assert from 'node:assert/strict';
import { after, afterEach, before, describe } from 'node:test';
import { describeDifferences, differences, footprint, type Footprint } from './footprint.js';
import type { HostState } from './host-state.js';
import { modes, TestNode, type Mode, type TestNodeOptions } from './test-node.js';
import { eventually } from './wait.js';

export const isRoot = process.getuid?.() === 0;
export const skipUnlessRoot = isRoot
  ? false
  : 'needs root: containers are made of mounts, namespaces and cgroups';

/** Asserts that the machine has nothing of the node any more. */
export function assertNothingLeft(state: HostState, node: TestNode): void {
  const files = state.files.filter((path) => path.startsWith(`${node.runDirectory}/`));
  const { mounts, links, nftables, cgroups, processes } = state;
  assert.deepEqual(
    { mounts, links, nftables, cgroups, processes, files },
    { mounts: [], links: [], nftables: [], cgroups: [], processes: [], files: [] },
  );
}

/**
 * Defines the tests once for each mode, each with a node of its own. After every test all containers are removed and the
 * machine must be as before it; after the last the node goes down and nothing of it may be left.
 */
export function describeOnNode(
  title: string,
  define: (getNode: () => TestNode, mode: Mode) => void,
  options: Omit<TestNodeOptions, 'mode'> & { readonly modes?: readonly Mode[] } = {},
): void {
  for (const mode of options.modes ?? modes) {
    void describe(`${title} (${mode})`, { skip: skipUnlessRoot }, () => {
      let node: TestNode | undefined;
      let earlier: Footprint | undefined;
      const getNode = (): TestNode => {
        assert.ok(node, 'the node did not start');
        return node;
      };
      before(async () => {
        node = await TestNode.start({ ...options, mode });
      });
      afterEach(async () => {
        const current = getNode();
        await current.removeContainers();
        const reference = earlier;
        assert.ok(reference);
        let now = await footprint(current);
        try {
          await eventually(
            'nothing is left',
            async () => {
              now = await footprint(current);
              return differences(reference, now).length === 0;
            },
            6_000,
          );
        } catch {
          earlier = now;
          assert.fail(`something is left behind:\n${describeDifferences(reference, now)}`);
        }
      });
      define(getNode, mode);
      // After what the tests themselves start.
      before(async () => {
        // The pool fills up in the background: wait for two equal looks.
        let last = await footprint(getNode());
        earlier = await eventually('the node is at rest', async () => {
          await new Promise((resolve) => setTimeout(resolve, 150));
          const next = await footprint(getNode());
          const still = differences(last, next).length === 0;
          last = next;
          return still ? next : undefined;
        });
      });
      // Last: what the tests themselves started is ended by then.
      after(async () => {
        if (node === undefined) return;
        try {
          assertNothingLeft(await node.stop(), node);
        } finally {
          await node.destroy();
        }
      });
    });
  }
}
