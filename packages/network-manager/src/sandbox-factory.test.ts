import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { networkManagerConfigSchema, parseSettings, type NetworkManagerConfig } from './config.js';
import type { Doomed, Kernel } from './kernel.js';
import { RecordStore } from './records.js';
import { SandboxFactory } from './sandbox-factory.js';

const defaults = Object.fromEntries(
  Object.entries(networkManagerConfigSchema.properties).map(([key, property]) => [key, property.default]),
);

/** A factory over a kernel that makes everything, and refuses to take apart while `refuses` says so. */
function factoryIn(runDirectory: string, refuses: (doomed: readonly Doomed[]) => boolean): SandboxFactory {
  const config = { ...defaults, run_dir: runDirectory, id_ranges: 64 } as unknown as NetworkManagerConfig;
  const kernel = {
    makeSandbox: () => Promise.resolve({ userDevice: 4, userInode: 1, netDevice: 4, netInode: 2 }),
    destroySandboxes: (doomed: readonly Doomed[]) =>
      refuses(doomed) ? Promise.reject(new Error('busy')) : Promise.resolve(null),
  };
  return new SandboxFactory({
    kernel: kernel as unknown as Kernel,
    settings: parseSettings(config),
    store: new RecordStore(join(runDirectory, 'network')),
    bootId: 'now',
    bridgeIndex: () => 1,
    warn: () => undefined,
  });
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-factory-test-'));
  mkdirSync(join(directory, 'sandboxes'));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const kind = { network: 'bridge', ownUserNamespace: true } as const;

test('a sandbox that cannot be taken apart keeps no other from going', () =>
  withDirectory(async (directory) => {
    let stuck = '';
    const factory = factoryIn(directory, (doomed) => doomed.some((one) => one.directory.endsWith(stuck)));
    const records = [await factory.make(kind), await factory.make(kind), await factory.make(kind)];
    stuck = records[0]?.id ?? '';
    for (const record of records) factory.destroy(record);
    while (factory.doomed > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(factory.doomed, 1);
    stuck = 'nothing';
    await factory.settled();
    assert.equal(factory.doomed, 0);
  }));

test('what a sandbox gave back is never given back again when a later one has to wait', () =>
  withDirectory(async (directory) => {
    const factory = factoryIn(directory, () => false);
    const first = await factory.make(kind);
    const second = await factory.make(kind);
    // Its directory cannot go as long as something is in it.
    const straw = join(factory.directoryOf(second.id), 'straw');
    writeFileSync(straw, '');
    factory.destroy(first);
    factory.destroy(second);
    while (factory.doomed > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    // All 64 ranges but the stuck one's: the first one's range has a new holder now.
    const holders = [];
    for (let index = 0; index < 63; index++) holders.push(await factory.make(kind));
    rmSync(straw);
    await factory.settled();
    holders.push(await factory.make(kind));
    assert.equal(new Set(holders.map(({ idRange }) => idRange)).size, 64);
    await assert.rejects(factory.make(kind), /all 64 uid ranges are in use/);
  }));
