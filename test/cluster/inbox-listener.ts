// Run inside a node's network: answers whatever comes to an inbox, as the user that owns it.
//   inbox-listener PORT INBOX    the seed of the user on standard input; prints a line when it listens
import { readFileSync } from 'node:fs';
import { connect, nkeyAuthenticator } from 'nats';

const [port = '', inbox = ''] = process.argv.slice(2);
const seed = readFileSync(0, 'utf8').trim();
const connection = await connect({
  servers: `127.0.0.1:${port}`,
  inboxPrefix: inbox,
  authenticator: nkeyAuthenticator(Buffer.from(seed)),
});
connection.subscribe(`${inbox}.>`, { callback: (_error, message) => void message.respond('heard') });
await connection.flush();
process.stdout.write('listening\n');
