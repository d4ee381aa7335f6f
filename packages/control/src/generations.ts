import { GantryError, type control } from '@gantry/protocol';
import type { Logger } from 'pino';
import type { Reign } from './reign.js';
import type { Change } from './state.js';
import { writeSeed } from './store-seed.js';

/** Control nodes of a cluster that survives the loss of one. */
const controlsOfLargerCluster = 3;
/** Others are told first: this node's own server goes down for the change at once, milliseconds. */
const ownDelayMs = 2_000;

interface GenerationsOptions {
  readonly reign: Reign;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly stateDirectory: string;
  readonly logger: Logger;
}

/**
 * Moves the store to its next generation when the number of control nodes goes from one to three: what it holds is kept in a
 * file, then every member is told of the generation, itself last; gantryd gives the servers their new form, and this node
 * fills the new store from the file. Killed anywhere, it is done again: by the next leader from the old store as long as no
 * member has changed, from the file afterwards.
 */
export class Generations {
  readonly #options: GenerationsOptions;
  #raised: { readonly generation: number; readonly ownFromMs: number } | undefined;

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  /** The generation that a member is told of now. */
  frameFor(nodeId: string): { generation: number; seedingNodeId: string } {
    const { reign, nodeId: ownId } = this.#options;
    const raised = this.#raised;
    const isDue = raised !== undefined && (nodeId !== ownId || reign.nowMs() >= raised.ownFromMs);
    return isDue
      ? { generation: raised.generation, seedingNodeId: ownId }
      : { generation: reign.store.generation, seedingNodeId: '' };
  }

  /** Called after every change of the nodes, and when a reign begins. */
  async growWhenDue(): Promise<void> {
    const { reign, stateDirectory, logger } = this.#options;
    if (this.#raised !== undefined) return;
    const nodes = [...reign.state.nodes.values()];
    const controls = nodes.filter(({ role }) => role === 'NODE_ROLE_CONTROL');
    const pending = nodes.filter(({ controlPending }) => controlPending);
    const meta = await reign.store.readMeta();
    const isHalfDone = meta?.controls === 1 && controls.length === controlsOfLargerCluster;
    if (!isHalfDone && controls.length + pending.length !== controlsOfLargerCluster) return;
    if (meta?.controls !== 1) return;
    await reign.transact(() => ({
      changes: pending.map((node): Change => ({
        kind: 'node',
        id: node.nodeId,
        value: { ...node, role: 'NODE_ROLE_CONTROL', controlPending: false },
      })),
      result: undefined,
    }));
    await reign.seal('the store moves to three control nodes');
    const contents = await reign.store.load(reign.store.revision, reign.signal);
    const generation = reign.store.generation + 1;
    writeSeed(stateDirectory, generation, contents);
    this.#raised = { generation, ownFromMs: reign.nowMs() + ownDelayMs };
    logger.info({ generation }, 'the store moves to three control nodes');
    reign.nodeChanged();
    setTimeout(() => reign.nodeChanged(), ownDelayMs + 10);
  }
}

/** What a join as control node means now; throws when there is no use for one. */
export function checkControlJoin(nodes: Iterable<control.NodeRecord>): void {
  const all = [...nodes];
  const controls = all.filter(({ role }) => role === 'NODE_ROLE_CONTROL').length;
  if (controls >= controlsOfLargerCluster)
    throw new GantryError({
      code: 'failed_precondition',
      operation: 'JoinNode',
      object: 'cluster',
      message: `the cluster has its ${controls} control nodes: join as a worker`,
    });
}
