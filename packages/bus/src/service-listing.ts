import { setTimeout as sleep } from 'node:timers/promises';
import { createInbox, type NatsConnection } from 'nats';
import { nodeServices, optionalServices } from './access.js';

const listServicesMs = 1_000;
/** How long a service that only some nodes have may answer after all others, milliseconds. */
const optionalServiceWaitMs = 20;

/** What one service of the node tells of itself through the NATS services API. */
export interface ServiceListing {
  readonly name: string;
  readonly version: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Every service of the node that answers, by name: returns a moment after all have that every node has, or after a second.
 * The moment is for those that only some nodes have.
 */
export async function listServices(
  connection: NatsConnection,
  inboxPrefix: string,
): Promise<ServiceListing[]> {
  const missing = new Set<string>(
    nodeServices.filter((name) => !optionalServices.has(name)).map((name) => `gantry-${name}`),
  );
  const found: ServiceListing[] = [];
  const inbox = createInbox(inboxPrefix);
  const { promise: complete, resolve: all } = Promise.withResolvers<void>();
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error !== null || message.data.length === 0) return;
      const {
        name,
        version,
        metadata = {},
      } = message.json<Omit<ServiceListing, 'metadata'> & { metadata?: Record<string, string> }>();
      found.push({ name, version, metadata });
      missing.delete(name);
      if (missing.size === 0) setTimeout(all, optionalServiceWaitMs);
    },
  });
  connection.publish('$SRV.INFO', undefined, { reply: inbox });
  await Promise.race([complete, sleep(listServicesMs, undefined, { ref: false })]);
  subscription.unsubscribe();
  return found.sort((a, b) => a.name.localeCompare(b.name));
}
