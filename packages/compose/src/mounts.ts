import { posix } from 'node:path';
import type { Init, node } from '@gantry/protocol';
import { present, type StackContext } from './context.js';
import type { Field } from './field.js';
import { suggest } from './check-keys.js';
import { bad, good, parseBytes, type Parsed } from './values.js';

export type Mount = Init<node.MountSpec> & { readonly target: string };

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'] as const;

/** `volumes` in both syntaxes, and `tmpfs`. */
export function readMounts(service: Field, context: StackContext): readonly Mount[] {
  const volumes = service.get('volumes')?.items() ?? [];
  const tmpfs = service.get('tmpfs')?.oneOrMany() ?? [];
  const found = [
    ...volumes.map((item) => ({
      item,
      mount: item.isMapping ? readLong(item, context) : readShort(item, context),
    })),
    ...tmpfs.map((item) => ({ item, mount: readTmpfs(item) })),
  ];
  const targets = new Map<string, Field>();
  return found.flatMap(({ item, mount }) => {
    if (mount === undefined) return [];
    const target = posix.normalize(mount.target).replace(/(.)\/$/, '$1');
    const other = targets.get(target);
    if (other !== undefined)
      item.refuse(`mounts over ${target} again (first in line ${other.tree.place.line})`);
    if (target === '/') item.refuse('mounts over the whole root file system');
    targets.set(target, item);
    return [mount];
  });
}

/** `[SOURCE:]TARGET[:OPTIONS]`: a path is bound, a name is a volume of the stack, none is anonymous. */
function readShort(item: Field, context: StackContext): Mount | undefined {
  const text = item.string();
  if (text === undefined) return undefined;
  const refuse = (why: string): undefined => item.refuse(`is ${JSON.stringify(text)}, ${why}`);
  const parts = text.split(':');
  if (parts.length > 3 || parts.some((part) => part === ''))
    return refuse('not of the form [SOURCE:]TARGET[:OPTIONS]');
  const [source = '', target = '', options = ''] = parts.length === 1 ? ['', ...parts] : parts;
  if (!target.startsWith('/')) return refuse('whose target is not an absolute path');
  let readOnly: boolean | undefined;
  let propagation: string | undefined;
  for (const option of options.split(',').filter((one) => one !== '')) {
    if (option === 'ro' || option === 'rw') readOnly = option === 'ro';
    else if ((propagations as readonly string[]).includes(option)) propagation = option;
    else return refuse(`whose option ${option} is not done; ro, rw and ${propagations.join(', ')} are`);
  }
  const common = { target, readOnly: readOnly === true ? true : undefined };
  if (source === '') return present({ type: 'volume', ...common });
  if (/^[./~]/.test(source)) {
    const path = resolvePath(source, context);
    return path === undefined
      ? refuse('but HOME is not set')
      : present({ type: 'bind', source: path, createSource: true, propagation, ...common });
  }
  if (propagation !== undefined) return refuse('which asks a propagation of a volume; only binds have one');
  const name = findVolume(source, context);
  return name === undefined
    ? refuse(`whose volume ${source} is not named under volumes${suggest(source, context.volumes)}`)
    : present({ type: 'volume', source: name, ...common });
}

function readLong(item: Field, context: StackContext): Mount | undefined {
  const type = item.get('type')?.oneOf(['bind', 'volume', 'tmpfs']);
  if (item.get('type') === undefined) item.refuse('has no type: bind, volume or tmpfs');
  const target = item.get('target')?.string();
  if (item.get('target') === undefined) item.refuse('has no target');
  else if (target?.startsWith('/') === false) item.get('target')?.refuse('is not an absolute path');
  if (type === undefined || target === undefined) return undefined;
  for (const other of ['bind', 'volume', 'tmpfs'])
    if (other !== type) item.get(other)?.refuseKey(`has no meaning for a mount of type ${type}`);
  const readOnly = item.get('read_only')?.boolean() === true ? true : undefined;
  const sourceField = item.get('source');
  const source = sourceField?.string();
  if (type === 'tmpfs') {
    sourceField?.refuseKey('has no meaning for a tmpfs');
    const tmpfsSizeBytes = item.get('tmpfs')?.get('size')?.bytes();
    const tmpfsMode = item.get('tmpfs')?.get('mode')?.parse(parseMode);
    return present({ type, target, readOnly, tmpfsSizeBytes, tmpfsMode });
  }
  if (type === 'bind') {
    const propagation = item.get('bind')?.get('propagation')?.oneOf(propagations);
    // docker compose makes the directory unless told not to.
    const create = item.get('bind')?.get('create_host_path')?.boolean() !== false;
    if (sourceField === undefined) return item.refuse('has no source: the path on the node');
    if (source === undefined) return undefined;
    const path = resolvePath(source, context);
    if (path === undefined) return sourceField.refuse('begins with ~, but HOME is not set');
    return present({ type, source: path, target, readOnly, propagation, createSource: create || undefined });
  }
  if (sourceField === undefined) return present({ type, target, readOnly });
  if (source === undefined) return undefined;
  const name = findVolume(source, context);
  return name === undefined
    ? sourceField.refuse(
        `is ${JSON.stringify(source)}, which is not named under volumes${suggest(source, context.volumes)}`,
      )
    : present({ type, source: name, target, readOnly });
}

const findVolume = (name: string, { volumes }: StackContext): string | undefined => volumes.get(name);

/** Undefined for a path in the home directory when there is none. */
export function resolvePath(path: string, { directory, lookup }: StackContext): string | undefined {
  if (path !== '~' && !path.startsWith('~/')) return posix.resolve(directory, path);
  const home = lookup('HOME');
  return home === undefined || home === '' ? undefined : posix.resolve(home, `.${path.slice(1)}`);
}

/** 755 is not what it looks like: YAML reads it as a decimal number. */
function parseMode(text: string): Parsed<number> {
  if (!/^0o?[0-7]{1,5}$/.test(text))
    return bad(`is ${JSON.stringify(text)}, not permission bits with a leading zero (such as 0755)`);
  const mode = parseInt(text.replace('o', ''), 8);
  return mode > 0o7777 ? bad(`is ${JSON.stringify(text)}, more than permission bits`) : good(mode);
}

/** What every tmpfs has anyway, so that asking for it changes nothing. */
const usualOptions = ['rw', 'noexec', 'nosuid', 'nodev'];

/** `TARGET[:size=64m,mode=1777,ro]`. */
function readTmpfs(item: Field): Mount | undefined {
  const text = item.string();
  if (text === undefined) return undefined;
  const refuse = (why: string): undefined => item.refuse(`is ${JSON.stringify(text)}, ${why}`);
  const at = text.indexOf(':');
  const target = at === -1 ? text : text.slice(0, at);
  if (!target.startsWith('/')) return refuse('which does not begin with an absolute path');
  let mount: Mount = { type: 'tmpfs', target };
  for (const option of at === -1 ? [] : text.slice(at + 1).split(',')) {
    const [key = '', value = ''] = option.split('=', 2);
    const size = key === 'size' ? parseBytes(value) : undefined;
    if (size?.ok === true) mount = { ...mount, tmpfsSizeBytes: size.value };
    else if (key === 'mode' && /^[0-7]{1,5}$/.test(value) && parseInt(value, 8) <= 0o7777)
      mount = { ...mount, tmpfsMode: parseInt(value, 8) };
    else if (key === 'ro') mount = { ...mount, readOnly: true };
    else if (!usualOptions.includes(option))
      return refuse(`whose option ${option} is not done; size, mode, ro and ${usualOptions.join(', ')} are`);
  }
  return mount;
}
