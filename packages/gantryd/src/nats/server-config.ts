import { join } from 'node:path';
import { busUsers, permissionsFor } from '@gantry/bus';

export interface ServerPaths {
  readonly directory: string;
  readonly config: string;
  readonly pidFile: string;
  readonly log: string;
}

export function serverPaths(runDirectory: string): ServerPaths {
  const directory = join(runDirectory, 'nats');
  return {
    directory,
    config: join(directory, 'nats.conf'),
    pidFile: join(directory, 'nats.pid'),
    log: join(directory, 'nats.log'),
  };
}

export interface ServerConfigInput {
  readonly nodeId: string;
  readonly port: number;
  readonly paths: ServerPaths;
  /** Public key of every bus user. */
  readonly publicKeys: Readonly<Record<string, string>>;
}

/**
 * nats-server's configuration, which takes JSON. NODE never leaves this machine: the server listens on loopback only
 * and has neither routes nor leaf nodes. CLUSTER is there from the start, so that nothing is ever built on its absence.
 */
export function renderServerConfig({ nodeId, port, paths, publicKeys }: ServerConfigInput): string {
  const users = busUsers.map((user) => {
    const { publish, subscribe } = permissionsFor(user, nodeId);
    return {
      nkey: publicKeys[user],
      permissions: { publish: { allow: publish }, subscribe: { allow: subscribe } },
    };
  });
  const config = {
    server_name: `gantry-${nodeId}`,
    listen: `127.0.0.1:${port}`,
    pid_file: paths.pidFile,
    log_file: paths.log,
    // Rotated by the server itself: a full disk must not be our doing.
    log_size_limit: 4 * 1024 * 1024,
    logfile_max_num: 2,
    // Messages stay under 512 KiB by contract; headers and a margin.
    max_payload: 640 * 1024,
    // A client that cannot take its messages for this long is cut off, and lists the truth again when it is back.
    write_deadline: '10s',
    ping_interval: '20s',
    ping_max: 2,
    // Nobody waits for a server without containers: it stops at once.
    lame_duck_duration: '30s',
    accounts: {
      NODE: { users },
      CLUSTER: { users: [] },
      SYS: {},
    },
    system_account: 'SYS',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
