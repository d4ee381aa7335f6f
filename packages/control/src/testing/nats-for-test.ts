import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { nkeys } from 'nats';

export interface NatsForTest {
  readonly url: string;
  /** Where others connect to as its leaves. */
  readonly leafUrl: string;
  /** Seed of its user in SYS. */
  readonly sysKeySeed: string;
  /** Of its JetStream. */
  readonly storeDirectory: string;
  /** Ends it without a word. */
  kill(): Promise<void>;
}

interface Options {
  readonly name?: string;
  readonly jetstream?: boolean;
  /** "nats-leaf://..." of the server whose leaf it is. */
  readonly hub?: string;
}

/**
 * A real nats-server without keys, on ports of its own, ended with the test: whoever connects is in CLUSTER, except who
 * has the key of the user in SYS.
 */
export async function startNatsForTest(
  t: TestContext,
  { name = 'gantry-test', jetstream = false, hub }: Options = {},
): Promise<NatsForTest> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-control-'));
  const [port, monitorPort, leafPort] = [await freePort(), await freePort(), await freePort()];
  const sys = (nkeys as { createUser(): { getSeed(): Uint8Array; getPublicKey(): string } }).createUser();
  const storeDirectory = join(directory, 'js');
  const config = {
    server_name: name,
    listen: `127.0.0.1:${port}`,
    http: `127.0.0.1:${monitorPort}`,
    ping_interval: '1s',
    ping_max: 1,
    leafnodes:
      hub === undefined
        ? { listen: `127.0.0.1:${leafPort}` }
        : { remotes: [{ url: hub, account: 'CLUSTER' }] },
    ...(jetstream ? { jetstream: { store_dir: storeDirectory } } : {}),
    no_auth_user: 'control',
    accounts: {
      CLUSTER: {
        users: [{ user: 'control', password: 'x' }],
        ...(jetstream ? { jetstream: 'enabled' } : {}),
      },
      SYS: { users: [{ nkey: sys.getPublicKey() }] },
    },
    system_account: 'SYS',
  };
  const path = join(directory, 'nats.conf');
  writeFileSync(path, JSON.stringify(config));
  const child = spawn('nats-server', ['-c', path], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(async () => {
    await kill();
    rmSync(directory, { recursive: true, force: true });
  });
  const monitorUrl = `http://127.0.0.1:${monitorPort}`;
  for (let tries = 0; ; tries += 1) {
    const answered = await fetch(`${monitorUrl}/healthz`).then(
      (response) => response.ok,
      () => false,
    );
    if (answered) break;
    if (tries > 250) throw new Error('nats-server did not come up');
    await sleep(20);
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    leafUrl: `nats-leaf://control:x@127.0.0.1:${leafPort}`,
    sysKeySeed: new TextDecoder().decode(sys.getSeed()),
    storeDirectory,
    kill,
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
