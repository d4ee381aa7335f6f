import { GantryError } from '@gantry/protocol';
import { isKernelError, type Kernel } from './kernel.js';
import {
  readListing,
  renderElement,
  renderPublish,
  renderRemoval,
  renderRuleset,
  renderUnpublish,
  tableOf,
  type Forward,
  type RulesetPlan,
} from './ruleset.js';

/** Our nftables table: written whole at start, one element a port afterwards, looked after in between. */
export class Firewall {
  readonly #kernel: Kernel;
  readonly #bridge: string;
  /** The table without elements, as the kernel listed it after the last whole write. */
  #skeleton = '';
  /** What the maps hold, changed in the order of the writes. */
  #forwards = new Map<string, Forward>();
  /** Writes in the order they were asked for: an element and a whole table must not overtake each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(kernel: Kernel, bridge: string) {
    this.#kernel = kernel;
    this.#bridge = bridge;
  }

  /** Published ports that the next whole write includes: those of sandboxes found at start-up. */
  adopt(forwards: readonly Forward[]): void {
    for (const forward of forwards) this.#forwards.set(renderElement(forward), forward);
  }

  /** Replaces the whole table in one transaction. `plan` is asked for when its turn has come. */
  async replace(plan: () => Omit<RulesetPlan, 'forwards'>): Promise<void> {
    await this.#inOrder(async () => {
      await this.#run(renderRuleset({ ...plan(), forwards: [...this.#forwards.values()] }), 'write');
      this.#skeleton = readListing(await this.#list()).skeleton;
    });
  }

  /** Adds ports in one transaction: all or none. */
  async publish(forwards: readonly Forward[]): Promise<void> {
    if (forwards.length === 0) return;
    await this.#inOrder(async () => {
      await this.#run(renderPublish(this.#bridge, forwards), 'add ports to');
      this.adopt(forwards);
    });
  }

  /** Removes ports; those that are already gone are no error. */
  async unpublish(forwards: readonly Forward[]): Promise<void> {
    if (forwards.length === 0) return;
    await this.#inOrder(async () => {
      for (const forward of forwards) this.#forwards.delete(renderElement(forward));
      try {
        await this.#run(renderUnpublish(this.#bridge, forwards), 'remove ports from');
      } catch {
        // One element, or the whole table, was removed by somebody else: take them one by one, so that the others go.
        for (const forward of forwards) {
          await this.#run(renderUnpublish(this.#bridge, [forward]), 'remove a port from').catch(
            (error: unknown) => {
              if (!isMissing(error)) throw error;
            },
          );
        }
      }
    });
  }

  /** Elements and rules that differ from what was written, as sentences; empty when the kernel has what it should have. */
  async findDrift(): Promise<string[]> {
    return await this.#inOrder(async () => {
      const expected = [...this.#forwards.keys()].sort();
      let listing: string;
      try {
        listing = await this.#list();
      } catch (error) {
        if (isMissing(error)) return [`table inet ${tableOf(this.#bridge)} is gone`];
        throw error;
      }
      const { skeleton, elements } = readListing(listing);
      const drift: string[] = [];
      if (skeleton !== this.#skeleton)
        drift.push(`rules of table inet ${tableOf(this.#bridge)} were changed`);
      if (
        elements.length !== expected.length ||
        elements.some((element, index) => element !== expected[index])
      )
        drift.push(`published ports of table inet ${tableOf(this.#bridge)} were changed`);
      return drift;
    });
  }

  /** True when the kernel has the element. */
  async has(forward: Forward): Promise<boolean> {
    const { elements } = readListing(await this.#list());
    return elements.includes(renderElement(forward));
  }

  async remove(): Promise<void> {
    await this.#inOrder(() => this.#run(renderRemoval(this.#bridge), 'remove'));
  }

  async #list(): Promise<string> {
    return await this.#kernel.runNft(`list table inet ${tableOf(this.#bridge)}`, false);
  }

  async #run(commands: string, verb: string): Promise<void> {
    try {
      await this.#kernel.runNft(commands, false);
    } catch (cause) {
      const detail = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
      throw new GantryError({
        code: 'internal',
        operation: 'nft',
        object: tableOf(this.#bridge),
        message: `cannot ${verb} nftables table inet ${tableOf(this.#bridge)}: ${detail}`,
        cause,
      });
    }
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function isMissing(error: unknown): boolean {
  const cause = error instanceof GantryError ? error.cause : error;
  return isKernelError(cause) && /No such file or directory/.test(cause.message);
}
