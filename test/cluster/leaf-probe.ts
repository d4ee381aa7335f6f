// Run inside a worker's network: what somebody with the worker's key and certificate, and a nats-server that obeys them
// instead of Gantry, can reach at the hub.
//   leaf-probe   {hub, port, seed, certificate, key, authority, directory, requests, subscribe} on standard input
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, ErrorCode, NatsError, type NatsConnection } from 'nats';

export interface LeafTrial {
  /** "ADDRESS:PORT" where the hub takes leaf nodes. */
  readonly hub: string;
  /** A free port of the namespace, for the server of the intruder. */
  readonly port: number;
  readonly seed: string;
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
  /** For files of the trial. */
  readonly directory: string;
  /** Each is sent to, and an answer awaited. */
  readonly requests: readonly string[];
  /** Prefix of the subjects that this worker may hear answers at. */
  readonly inbox: string;
  /** Each is listened to for three seconds; what comes to `inbox` counts only for a subscription of just that. */
  readonly subscribe: readonly string[];
}

export interface LeafFindings {
  /** "answered", "heard" (somebody listens and did not answer) or "nobody": the hub let nothing through. */
  readonly requests: Readonly<Record<string, string>>;
  /** How many messages came, by the subscription. */
  readonly received: Readonly<Record<string, number>>;
}

const trial = JSON.parse(readFileSync(0, 'utf8')) as LeafTrial;

function writeConfig(): string {
  const { hub, port, seed, certificate, key, authority, directory } = trial;
  const path = join(directory, 'intruder.conf');
  writeFileSync(
    path,
    JSON.stringify({
      server_name: 'intruder',
      host: '127.0.0.1',
      port,
      accounts: { CLUSTER: { users: [{ user: 'all', password: 'all' }] } },
      leafnodes: {
        reconnect: 1,
        remotes: [
          {
            url: `tls://${hub}`,
            account: 'CLUSTER',
            nkey: seed,
            tls: { cert_file: certificate, key_file: key, ca_file: authority },
          },
        ],
      },
    }),
    { mode: 0o600 },
  );
  return path;
}

async function connectPatiently(): Promise<NatsConnection> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await connect({
        servers: `127.0.0.1:${trial.port}`,
        user: 'all',
        pass: 'all',
        inboxPrefix: trial.inbox,
        reconnect: false,
      });
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(50);
    }
  }
}

async function ask(connection: NatsConnection, subject: string): Promise<string> {
  try {
    await connection.request(subject, new Uint8Array(), { timeout: 700 });
    return 'answered';
  } catch (error) {
    if (!(error instanceof NatsError)) throw error;
    return error.code === (ErrorCode.NoResponders as string) ? 'nobody' : 'heard';
  }
}

/**
 * Two clients, one after the other: what one listens to is interest of the intruder's own server, and its requests would be
 * "heard" by itself.
 */
async function tryAll(): Promise<LeafFindings> {
  const mine = `${trial.inbox}.>`;
  const received: Record<string, number> = Object.fromEntries(trial.subscribe.map((subject) => [subject, 0]));
  const count = (subject: string): void => void (received[subject] = (received[subject] ?? 0) + 1);
  const own = await connectPatiently();
  own.subscribe(mine, { callback: () => count(mine) });
  const listener = await connectPatiently();
  for (const subject of trial.subscribe.filter((one) => one !== mine))
    listener.subscribe(subject, {
      callback: (_error, message) => {
        if (!message.subject.startsWith(`${trial.inbox}.`)) count(subject);
      },
    });
  await listener.flush();
  // Leases are renewed every second: whoever can listen hears some.
  await sleep(3_000);
  await listener.close();
  const asking = await connectPatiently();
  const answers = await Promise.all(
    trial.requests.map(async (subject) => [subject, await ask(asking, subject)] as const),
  );
  await asking.close();
  await own.close();
  return { requests: Object.fromEntries(answers), received };
}

const server = spawn('nats-server', ['-c', writeConfig(), '-l', join(trial.directory, 'intruder.log')], {
  stdio: 'ignore',
});
try {
  const first = await connectPatiently();
  // Until the leaf connection stands there is nobody to hear anything.
  await sleep(1_000);
  await first.close();
  process.stdout.write(JSON.stringify(await tryAll()));
} finally {
  const ended = once(server, 'exit');
  server.kill('SIGKILL');
  await ended;
}
