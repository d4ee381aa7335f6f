import type { HostState } from './host-state.js';
import type { TestNode } from './test-node.js';

/** What may differ from one moment to the next although nothing was left: the pool of sandboxes is being refilled. */
export interface Footprint {
  readonly counts: Readonly<Record<string, number>>;
  readonly state: HostState;
}

/** What containers leave behind, if anything: the same numbers before a test and after it. */
export async function footprint(node: TestNode): Promise<Footprint> {
  const state = await node.readState();
  const below = (directory: string): number =>
    state.files.filter((path) => path.startsWith(`${directory}/`)).length;
  return {
    state,
    counts: {
      mounts: state.mounts.length,
      links: state.links.length,
      'nftables lines': state.nftables.length,
      cgroups: state.cgroups.length,
      processes: state.processes.length,
      'files of running containers': below(`${node.runDirectory}/containers`),
      'files of container records': below(`${node.stateDirectory}/containers`),
      volumes: below(`${node.stateDirectory}/volumes`),
    },
  };
}

export const differences = (before: Footprint, after: Footprint): string[] =>
  Object.keys(before.counts).filter((key) => before.counts[key] !== after.counts[key]);

export function describeDifferences(before: Footprint, after: Footprint): string {
  return differences(before, after)
    .map((key) => {
      const kind =
        (Object.keys(after.state) as (keyof HostState)[]).find((name) => key.startsWith(name)) ?? 'files';
      const known = new Set(before.state[kind]);
      const added = after.state[kind].filter((line) => !known.has(line));
      return `${key}: ${before.counts[key]} before, ${after.counts[key]} after; new: ${added.slice(0, 12).join(' | ')}`;
    })
    .join('\n');
}
