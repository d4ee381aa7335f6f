import { resolve } from 'node:path';
import type { MountSpec } from '../client/types.js';
import { UsageFailure } from '../failures.js';
import { parseSize } from './quantities.js';

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'];
const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** `-v [SOURCE:]TARGET[:OPTIONS]`: a path, beginning with / or ., is bound; a name is a volume; none is anonymous. */
export function parseVolumeFlag(text: string): MountSpec {
  const refuse = (why: string): UsageFailure => new UsageFailure(`--volume: "${text}" ${why}`);
  const parts = text.split(':');
  if (parts.length > 3 || parts.some((part) => part === ''))
    throw refuse('is not of the form [SOURCE:]TARGET[:OPTIONS]');
  const [source, target, options] = parts.length === 1 ? ['', parts[0] ?? '', undefined] : parts;
  if (target === undefined || source === undefined || !target.startsWith('/'))
    throw refuse(`has target "${target ?? ''}", which is not an absolute path`);
  const more = parseBindOptions(options ?? '', refuse);
  if (source === '') return { type: 'volume', target, ...more };
  if (source.startsWith('/') || source.startsWith('.') || source.startsWith('~'))
    return { type: 'bind', source: resolve(source), target, createSource: true, ...more };
  if (!volumeName.test(source))
    throw refuse(`has source "${source}", which is neither a path nor a volume's name`);
  if (more.propagation !== undefined) throw refuse('asks a propagation of a volume; only binds have one');
  return { type: 'volume', source, target, ...more };
}

function parseBindOptions(
  options: string,
  refuse: (why: string) => UsageFailure,
): { readOnly?: boolean; propagation?: string } {
  const found: { readOnly?: boolean; propagation?: string } = {};
  for (const option of options.split(',').filter((one) => one !== '')) {
    if (option === 'ro' || option === 'rw') found.readOnly = option === 'ro';
    else if (propagations.includes(option)) found.propagation = option;
    else throw refuse(`has option "${option}"; ro, rw and ${propagations.join(', ')} are done`);
  }
  return found;
}

/** `--mount type=bind,source=...,target=...[,readonly]`. */
export function parseMountFlag(text: string): MountSpec {
  const refuse = (why: string): UsageFailure => new UsageFailure(`--mount: "${text}" ${why}`);
  const fields = new Map<string, string>();
  for (const field of text.split(',')) {
    const at = field.indexOf('=');
    const key = (at === -1 ? field : field.slice(0, at)).trim();
    fields.set(mountAliases[key] ?? key, at === -1 ? 'true' : field.slice(at + 1));
  }
  const take = (key: string): string | undefined => {
    const value = fields.get(key);
    fields.delete(key);
    return value;
  };
  const type = take('type') ?? 'volume';
  const target = take('target');
  const source = take('source') ?? '';
  const readOnly = parseTruth(take('readonly') ?? 'false', refuse);
  if (type !== 'bind' && type !== 'volume' && type !== 'tmpfs')
    throw refuse(`has type "${type}"; bind, volume and tmpfs are done`);
  if (target === undefined || !target.startsWith('/'))
    throw refuse('lacks a target that is an absolute path');
  const common = { target, ...(readOnly ? { readOnly } : {}) };
  let mount: MountSpec;
  if (type === 'bind') {
    if (source === '') throw refuse('lacks a source');
    const propagation = take('bind-propagation');
    if (propagation !== undefined && !propagations.includes(propagation))
      throw refuse(`has propagation "${propagation}"`);
    mount = {
      type,
      source: resolve(source),
      ...common,
      ...(propagation === undefined ? {} : { propagation }),
    };
  } else if (type === 'volume') {
    if (source !== '' && !volumeName.test(source))
      throw refuse(`has source "${source}", which is no volume's name`);
    mount = { type, source, ...common };
  } else {
    if (source !== '') throw refuse('has a source; a tmpfs has none');
    const size = take('tmpfs-size');
    const mode = take('tmpfs-mode');
    mount = {
      type,
      ...common,
      ...(size === undefined ? {} : { tmpfsSizeBytes: parseSize(size, '--mount tmpfs-size') }),
      ...(mode === undefined ? {} : { tmpfsMode: parseMode(mode, refuse) }),
    };
  }
  const [unknown] = fields.keys();
  if (unknown !== undefined) throw refuse(`has key "${unknown}", which is not done for type ${type}`);
  return mount;
}

const mountAliases: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
};

function parseTruth(text: string, refuse: (why: string) => UsageFailure): boolean {
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  throw refuse(`has readonly=${text}; true or false`);
}

function parseMode(text: string, refuse: (why: string) => UsageFailure): number {
  if (!/^[0-7]{1,5}$/.test(text) || parseInt(text, 8) > 0o7777)
    throw refuse(`has mode "${text}", which is not octal`);
  return parseInt(text, 8);
}

/** What every tmpfs has anyway, so that asking for it changes nothing. */
const usualTmpfsOptions = ['rw', 'noexec', 'nosuid', 'nodev'];

/** `--tmpfs TARGET[:size=64m,mode=1777,ro]`. */
export function parseTmpfsFlag(text: string): MountSpec {
  const refuse = (why: string): UsageFailure => new UsageFailure(`--tmpfs: "${text}" ${why}`);
  const at = text.indexOf(':');
  const target = at === -1 ? text : text.slice(0, at);
  if (!target.startsWith('/')) throw refuse('does not begin with an absolute path');
  let mount: MountSpec = { type: 'tmpfs', target };
  for (const option of at === -1 ? [] : text.slice(at + 1).split(',')) {
    const [key = '', value] = option.split('=', 2);
    if (key === 'size' && value !== undefined)
      mount = { ...mount, tmpfsSizeBytes: parseSize(value, '--tmpfs size') };
    else if (key === 'mode' && value !== undefined) mount = { ...mount, tmpfsMode: parseMode(value, refuse) };
    else if (key === 'ro') mount = { ...mount, readOnly: true };
    else if (!usualTmpfsOptions.includes(key))
      throw refuse(`has option "${option}"; size, mode, ro and ${usualTmpfsOptions.join(', ')} are done`);
  }
  return mount;
}
