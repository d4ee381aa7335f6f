// Run inside a node's network: tries subjects as one user of the bus and prints those that nats-server refused.
//   bus-probe PORT publish|subscribe    {"seed", "subjects", "inboxPrefix"} on standard input
import { readFileSync } from 'node:fs';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';

const [port = '', verb = ''] = process.argv.slice(2);
const { seed, subjects, inboxPrefix } = JSON.parse(readFileSync(0, 'utf8')) as {
  seed: string;
  subjects: string[];
  inboxPrefix: string;
};

async function tryAll(connection: NatsConnection): Promise<string[]> {
  const refused = new Set<string>();
  void (async () => {
    for await (const status of connection.status()) {
      // "'Permissions Violation for Publish to "gantry..."'"
      const context = (status as { permissionContext?: { subject?: string } }).permissionContext;
      if (context?.subject !== undefined) refused.add(context.subject);
    }
  })();
  for (const subject of subjects) {
    if (verb === 'publish') connection.publish(subject);
    else connection.subscribe(subject, { callback: () => undefined });
  }
  await connection.flush();
  await new Promise((resolve) => setTimeout(resolve, 50));
  return subjects.filter((subject) => refused.has(subject));
}

const connection = await connect({
  servers: `127.0.0.1:${port}`,
  reconnect: false,
  inboxPrefix,
  ...(seed === '' ? {} : { authenticator: nkeyAuthenticator(Buffer.from(seed)) }),
});
process.stdout.write(JSON.stringify(await tryAll(connection)));
await connection.close();
