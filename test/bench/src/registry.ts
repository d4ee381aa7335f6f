import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type CommandOptions } from '@gantry/test-harness';
import type { Cleanup } from './cleanup.js';
import type { Workplace } from './workplace.js';

/** Somewhere with a loopback of its own. */
export interface Network {
  wrap(program: string, words: readonly string[]): readonly [string, readonly string[]];
  mustRun(program: string, words: readonly string[], options?: CommandOptions): Promise<string>;
}

const address = '127.0.0.1:5000';

/** Reference of the large image, as both sides pull it. */
export const largeReference = `${address}/bench/large:latest`;

/** Starts Debian's registry on the loopback of a network; resolves with what stops it. All serve the same directory. */
export async function startRegistry(
  cleanup: Cleanup,
  workplace: Workplace,
  network: Network,
): Promise<() => Promise<void>> {
  const directory = join(workplace.directory, 'registry');
  const config = join(workplace.directory, 'registry.yml');
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    config,
    `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${directory} } }
http: { addr: "${address}" }
`,
  );
  const [program, words] = network.wrap('docker-registry', ['serve', config]);
  const child = spawn(program, words, { stdio: 'ignore', detached: true });
  const ended = once(child, 'close');
  const stop = async (): Promise<void> => {
    // A group: where nsenter has forked, the registry is its child.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, 'SIGTERM');
    }
    await ended;
  };
  cleanup.defer('the registry', stop);
  await eventually('the registry answers', () =>
    network.mustRun('busybox', ['wget', '-q', '-O', '-', `http://${address}/v2/`]).then(() => true),
  );
  return stop;
}

/** Copies an OCI layout into the registry that serves this network, layers as they are. */
export async function pushLayout(network: Network, layout: string): Promise<void> {
  await network.mustRun(
    'skopeo',
    [
      '--insecure-policy',
      'copy',
      '--quiet',
      '--dest-tls-verify=false',
      `oci:${layout}:latest`,
      `docker://${largeReference}`,
    ],
    { timeoutMs: 120_000 },
  );
}
