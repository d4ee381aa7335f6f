// Run inside a node's network: tries subjects as one user of the bus and prints those that nats-server refused.
//   bus-probe PORT    {"seed", "inboxPrefix", "publish": [...], "subscribe": [...]} on standard input
import { readFileSync } from 'node:fs';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';

interface Trial {
  readonly seed: string;
  readonly inboxPrefix: string;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const { seed, inboxPrefix, publish, subscribe } = JSON.parse(readFileSync(0, 'utf8')) as Trial;

async function tryAll(connection: NatsConnection): Promise<{ publish: string[]; subscribe: string[] }> {
  const refused = new Set<string>();
  void (async () => {
    for await (const status of connection.status()) {
      const context = (status as { permissionContext?: { operation?: string; subject?: string } })
        .permissionContext;
      if (context?.subject !== undefined) refused.add(`${context.operation} ${context.subject}`);
    }
  })();
  for (const subject of publish) connection.publish(subject);
  for (const subject of subscribe) connection.subscribe(subject, { callback: () => undefined });
  await connection.flush();
  await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    publish: publish.filter((subject) => refused.has(`publish ${subject}`)),
    subscribe: subscribe.filter((subject) => refused.has(`subscription ${subject}`)),
  };
}

const connection = await connect({
  servers: `127.0.0.1:${process.argv[2]}`,
  reconnect: false,
  inboxPrefix,
  ...(seed === '' ? {} : { authenticator: nkeyAuthenticator(Buffer.from(seed)) }),
});
process.stdout.write(JSON.stringify(await tryAll(connection)));
await connection.close();
