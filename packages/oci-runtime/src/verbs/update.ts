import { readFileSync } from 'node:fs';
import { updateCgroup } from '@gantry/cgroup-supervisor/runtime';
import { parseLossless, type RuntimeResources } from '@gantry/oci';
import { statusOf } from '../container-status.js';
import { doesNotExist } from '../container-store.js';
import { failure, messageOf } from '../failure.js';
import type { Call } from '../program.js';
import { addResourceOptions } from '../resource-options.js';

export function update({ runtime, given, words: [id = ''] }: Call): number {
  const held = runtime.store.hold(id);
  const record = held?.record ?? failure(doesNotExist(id));
  if (statusOf(record, runtime.store) === 'stopped')
    failure(`cannot update a container that is stopped: ${JSON.stringify(id)}`);
  const cgroup = record.cgroup ?? failure(`container ${JSON.stringify(id)} has no cgroup of its own`);
  updateCgroup(cgroup, addResourceOptions(readResources(given.text('resources')), given));
  held?.release();
  return 0;
}

function readResources(file: string | undefined): RuntimeResources {
  if (file === undefined) return {};
  const name = file === '-' ? 'standard input' : file;
  try {
    const value: unknown = parseLossless(readFileSync(file === '-' ? 0 : file, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    failure(`cannot read resources from ${name}: ${messageOf(error)}`);
  }
  return failure(`cannot read resources from ${name}: not a JSON object`);
}
