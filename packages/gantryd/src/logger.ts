import { pino, type Logger } from 'pino';
import type { NodeConfig } from './config-schema.js';

/** gantryd's own log, in the same form as the services'. */
export function createLogger(config: NodeConfig, nodeId: string): Logger {
  const destination = pino.destination({
    dest: config.log_file === '' ? 2 : config.log_file,
    sync: true,
    append: true,
    mkdir: true,
    maxLength: 1024 * 1024,
  });
  // A full disk takes lines of the log, never the node: the last 1 MiB waits for space, more is dropped.
  destination.on('error', () => undefined);
  return pino(
    {
      level: config.log_level,
      base: { service: 'gantryd', node: nodeId },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    destination,
  );
}
