import { GantryError, asGantryError, control } from '@gantry/protocol';
import type { Logger } from 'pino';
import type { Reign } from './reign.js';
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
 * file, in which those that waited are control nodes; then every member is told of the generation, itself last; gantryd
 * gives the servers their new form, and this node fills the new store from the file. The old store is not changed: as long as
 * this node has not moved itself it may be killed anywhere and does it again; afterwards the file is there.
 */
export class Generations {
  readonly #options: GenerationsOptions;
  #raised: { readonly generation: number; readonly ownFromMs: number } | undefined;
  #busy = false;

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  /** The generation that a member is told of now. */
  frameFor(nodeId: string): { generation: number; seedingNodeId: string } {
    const { reign, nodeId: ownId } = this.#options;
    return this.#raised !== undefined && this.#isDueFor(nodeId)
      ? { generation: this.#raised.generation, seedingNodeId: ownId }
      : { generation: reign.store.generation, seedingNodeId: '' };
  }

  /** The nodes that a member is told of now, with the roles that they have in its generation. */
  nodesFor(nodeId: string): control.NodeRecord[] {
    const nodes = [...this.#options.reign.state.nodes.values()];
    return this.#isDueFor(nodeId) ? nodes.map(promoted) : nodes;
  }

  /** Called whenever anything has changed. */
  async growWhenDue(): Promise<void> {
    if (this.#raised !== undefined || this.#busy || !this.#mayGrow()) return;
    this.#busy = true;
    try {
      await this.#grow();
    } finally {
      this.#busy = false;
    }
  }

  #isDueFor(nodeId: string): boolean {
    const raised = this.#raised;
    if (raised === undefined) return false;
    return nodeId !== this.#options.nodeId || this.#options.reign.nowMs() >= raised.ownFromMs;
  }

  /** Those who wait must hear of it: they have no way to this store afterwards. */
  #mayGrow(): boolean {
    const { state, leases } = this.#options.reign;
    const nodes = [...state.nodes.values()];
    const controls = nodes.filter(({ role }) => role === 'NODE_ROLE_CONTROL');
    const pending = nodes.filter(({ controlPending }) => controlPending);
    return (
      controls.length === 1 &&
      controls.length + pending.length === controlsOfLargerCluster &&
      pending.every(({ nodeId }) => leases.conditionOf(nodeId) === 'ready')
    );
  }

  async #grow(): Promise<void> {
    const { reign, stateDirectory, logger } = this.#options;
    if ((await reign.store.readMeta())?.controls !== 1) return;
    await reign.seal('the store moves to three control nodes');
    const generation = reign.store.generation + 1;
    try {
      const contents = new Map(await reign.store.load(reign.store.revision, reign.signal));
      for (const node of reign.state.nodes.values())
        contents.set(`node.${node.nodeId}`, control.NodeRecordCodec.encode(promoted(node)));
      writeSeed(stateDirectory, generation, contents);
    } catch (error) {
      // Nobody was told yet: the next reign, which is not sealed, tries again.
      reign.end(`the store could not be kept for its move: ${asGantryError(error, 'move store').message}`);
      return;
    }
    this.#raised = { generation, ownFromMs: reign.nowMs() + ownDelayMs };
    logger.info({ generation }, 'the store moves to three control nodes');
    reign.nodeChanged();
    setTimeout(() => reign.nodeChanged(), ownDelayMs + 10);
  }
}

const promoted = (node: control.NodeRecord): control.NodeRecord =>
  node.controlPending ? { ...node, role: 'NODE_ROLE_CONTROL', controlPending: false } : node;

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
