import { Client } from './client/client.js';
import { parseRemoteAddress, RemoteTransport } from './client/remote-transport.js';
import type { Transport } from './client/transport.js';
import { UnixTransport } from './client/unix-transport.js';
import { defaultContextName, readContexts, type SavedContext } from './contexts.js';
import { UsageFailure } from './failures.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What every verb works with. */
export interface Context {
  readonly client: Client;
  /** Where gantryd keeps its sockets and pid files. */
  readonly runDirectory: string;
  /** The api is another machine's. */
  readonly remote: boolean;
  readonly environment: Environment;
}

/** Flags that stand before the verb. */
export interface GlobalFlags {
  readonly host?: string;
  readonly context?: string;
}

const defaultRunDirectory = '/run/gantry';

/** --host beats --context beats GANTRY_HOST beats GANTRY_CONTEXT beats GANTRY_RUN_DIR beats `context use`. */
export function createContext(flags: GlobalFlags, environment: Environment): Context {
  const { host, token, origin } = findAddress(flags, environment);
  const runDirectory = environment['GANTRY_RUN_DIR'] ?? defaultRunDirectory;
  const at = (transport: Transport, directory = runDirectory, remote = false): Context => ({
    client: new Client(transport),
    runDirectory: directory,
    remote,
    environment,
  });
  if (host === '') return at(new UnixTransport(`${runDirectory}/api.sock`));
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(host)?.[1];
  if (path !== undefined)
    return at(new UnixTransport(path), environment['GANTRY_RUN_DIR'] ?? path.replace(/\/[^/]*$/, ''));
  const remote = parseRemoteAddress(host);
  if (remote === undefined)
    throw new UsageFailure(
      `host "${host}" is not of the form unix:///path/to/api.sock or tcp://ADDRESS[:PORT]`,
    );
  return at(new RemoteTransport(remote, token, origin), runDirectory, true);
}

interface Address {
  /** Empty: this node. */
  readonly host: string;
  readonly token: string;
  /** What said so, for sentences. */
  readonly origin: string;
}

function findAddress(flags: GlobalFlags, environment: Environment): Address {
  const given = (host: string): Address => ({
    host,
    token: environment['GANTRY_TOKEN'] ?? '',
    origin: host,
  });
  if (flags.host !== undefined) return given(flags.host);
  if (flags.context !== undefined) return addressIn(flags.context, environment);
  const host = environment['GANTRY_HOST'] ?? '';
  if (host !== '') return given(host);
  const name = environment['GANTRY_CONTEXT'] ?? '';
  if (name !== '') return addressIn(name, environment);
  // Whoever says where this node is means this node.
  if (environment['GANTRY_RUN_DIR'] !== undefined) return given('');
  return addressIn(readContexts(environment).current, environment);
}

function addressIn(name: string, environment: Environment): Address {
  if (name === defaultContextName) return { host: '', token: '', origin: '' };
  const saved: SavedContext | undefined = readContexts(environment).contexts[name];
  if (saved === undefined)
    throw new UsageFailure(`there is no context "${name}"; \`gantry context ls\` lists them`);
  return { ...saved, origin: `context "${name}"` };
}
