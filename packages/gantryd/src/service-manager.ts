import { spawn } from 'node:child_process';
import type { Logger } from 'pino';

const socketVariable = 'NOTIFY_SOCKET';

/**
 * Tells systemd that the node answers, where it waits for that (Type=notify). systemd's own program speaks for us: Node
 * has no datagram sockets of this kind. Where nobody waits it does nothing.
 */
export function reportToServiceManager(logger: Logger): void {
  const { [socketVariable]: socket, PATH } = process.env;
  // Nobody whom we start later may speak in our name.
  delete process.env[socketVariable];
  if (socket === undefined || socket === '') return;
  const env = { [socketVariable]: socket, PATH };
  const notifier = spawn('systemd-notify', ['--ready'], { stdio: 'ignore', env });
  notifier.once('error', (err) => logger.error({ err }, 'systemd cannot be told that the node is up'));
}
