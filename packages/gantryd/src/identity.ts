import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { GantryError } from '@gantry/protocol';
import { nkeys } from 'nats';
import { createOnce } from './state-file.js';

/** A generated id, never a host name: it survives renaming and never collides. Made once, kept in the state directory. */
export function loadNodeId(stateDirectory: string): string {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o711 });
  const path = join(stateDirectory, 'node-id');
  const nodeId = createOnce(path, () => `${randomBytes(8).toString('hex')}\n`).trim();
  if (!/^[0-9a-f]{16}$/.test(nodeId)) throw damaged(path, 'does not hold 16 hex digits');
  return nodeId;
}

interface KeyPair {
  getSeed(): Uint8Array;
  getPublicKey(): string;
}

/** What is used of nkeys, for which the nats package has no types. */
const keyTools = nkeys as { createUser(): KeyPair; fromSeed(seed: Uint8Array): KeyPair };

/** A bus user's key pair. The seed is a secret; nats-server is given the public key only. */
export interface BusKey {
  readonly seed: string;
  readonly publicKey: string;
}

/** Reads the key of a bus user, making it the first time. 0600 in a directory of 0700. */
export function loadBusKey(stateDirectory: string, user: string): BusKey {
  const directory = join(stateDirectory, 'keys');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const path = join(directory, `${user}.nk`);
  const seed = createOnce(path, () => `${Buffer.from(keyTools.createUser().getSeed()).toString()}\n`).trim();
  chmodSync(path, 0o600);
  try {
    return { seed, publicKey: keyTools.fromSeed(Buffer.from(seed)).getPublicKey() };
  } catch (cause) {
    throw damaged(path, 'holds no key; remove it and a new one is made', cause);
  }
}

function damaged(path: string, reason: string, cause?: unknown): GantryError {
  return new GantryError({
    code: 'data_loss',
    operation: 'start',
    object: path,
    message: `${path} ${reason}`,
    cause,
  });
}
