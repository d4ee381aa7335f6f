import { asGantryError } from '@gantry/protocol';
import type { Logger } from 'pino';
import type { NodeConfig } from './config-schema.js';
import type { ControlKeeper } from './control-keeper.js';
import { loadMember, type Member } from './member.js';
import { sightOf, watchMembership } from './membership-watch.js';

/** Files that do not hold, or an address that has gone, are looked at again: it costs nothing. */
const unusableRetryMs = 2_000;
/** nats-server is replaced at each try: the node's services lose their bus for a moment. */
const refusedRetryMs = 30_000;

/** What runs as the node's place in a cluster says. */
export interface Followers {
  /** Gives the bus the configuration of this place; undefined when this process does not supervise it. */
  readonly reconfigure: ((member: Member | undefined) => Promise<void>) | undefined;
  /** Undefined when control never runs in this process. */
  readonly control: ControlKeeper | undefined;
}

/**
 * Follows the node's place in a cluster, as its files say it. While they do not hold the node is one alone: its bus and its
 * containers must not need the cluster.
 */
export class MemberFollower {
  readonly #config: NodeConfig;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #seen = '';
  #complaint = '';
  #retryMs: number | undefined;
  #watching: Promise<void> = Promise.resolve();

  constructor(config: NodeConfig, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
  }

  /** The place now; undefined also when it cannot be had. */
  async look(): Promise<Member | undefined> {
    // Before they are read: what is written meanwhile is a change.
    this.#seen = sightOf(this.#config.state_dir);
    this.#retryMs = undefined;
    try {
      const member = await loadMember(this.#config);
      this.#complaint = '';
      return member;
    } catch (error) {
      this.#complain(error, unusableRetryMs);
      return undefined;
    }
  }

  /** Of a place that the bus does not take. */
  refused(error: unknown): void {
    this.#complain(error, refusedRetryMs);
  }

  /** From the last look on. */
  follow(followers: Followers): void {
    this.#watching = watchMembership({
      stateDirectory: this.#config.state_dir,
      seen: this.#seen,
      retryMs: this.#retryMs,
      signal: this.#stopping.signal,
      onChange: async () => {
        await this.#apply(await this.look(), followers);
        return this.#retryMs;
      },
    });
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  async #apply(member: Member | undefined, { reconfigure, control }: Followers): Promise<void> {
    // Control lets go of a store that is about to go, and takes hold of one that is there.
    if (!leads(member)) await control?.want(false);
    try {
      await reconfigure?.(member);
    } catch (error) {
      this.refused(error);
      return;
    }
    if (leads(member)) await control?.want(true);
  }

  /** Once for each cause, however often it is met. */
  #complain(error: unknown, retryMs: number): void {
    this.#retryMs = retryMs;
    const { message } = asGantryError(error, 'follow membership');
    if (message !== this.#complaint)
      this.#logger.error({ reason: message }, 'the node is no member for now: its place cannot be taken');
    this.#complaint = message;
  }
}

/** Whether control runs on this node. */
export const leads = (member: Member | undefined): boolean => member?.membership.role === 'control';
