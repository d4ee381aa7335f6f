import { Client } from './client/client.js';
import { UsageFailure } from './failures.js';

/** What every verb works with. */
export interface Context {
  readonly client: Client;
  /** Where gantryd keeps its sockets and pid files. */
  readonly runDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const defaultRunDirectory = '/run/gantry';

/** --host beats GANTRY_HOST beats GANTRY_RUN_DIR beats the usual place. */
export function createContext(
  host: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): Context {
  const runDirectory = environment['GANTRY_RUN_DIR'] ?? defaultRunDirectory;
  const address = host ?? environment['GANTRY_HOST'];
  if (address === undefined || address === '')
    return { client: new Client(`${runDirectory}/api.sock`), runDirectory, environment };
  const match = /^unix:(?:\/\/)?(\/.+)$/.exec(address);
  const path = match?.[1];
  if (path === undefined)
    throw new UsageFailure(`host "${address}" is not of the form unix:///path/to/api.sock`);
  const nodeDirectory = environment['GANTRY_RUN_DIR'] ?? path.replace(/\/[^/]*$/, '');
  return { client: new Client(path), runDirectory: nodeDirectory, environment };
}
