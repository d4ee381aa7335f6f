import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A real nats-server without authentication, on ports of its own. */
export async function startNatsForTest(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const [port, monitorPort] = [await freePort(), await freePort()];
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-m', String(monitorPort)], {
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  for (let tries = 0; ; tries += 1) {
    const answered = await fetch(`http://127.0.0.1:${monitorPort}/healthz`).then(
      (response) => response.ok,
      () => false,
    );
    if (answered) break;
    if (tries > 250) {
      child.kill('SIGKILL');
      throw new Error('nats-server did not come up');
    }
    await sleep(20);
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
    },
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
