import { refuse } from './refusal.js';

/** What a JSON value must be: a word ("wide": an integer that may be a bigint), a list of one kind, a map to one kind, or an object with known keys (others are let be). */
type Shape =
  | 'string'
  | 'number'
  | 'wide'
  | 'boolean'
  | 'any'
  | { readonly list: Shape }
  | { readonly map: Shape }
  | Fields;
interface Fields {
  readonly fields: Readonly<Record<string, Shape>>;
  /** Beside those that are required wherever they are known. */
  readonly required?: readonly string[];
}

const strings: Shape = { list: 'string' };

/** The runtime-spec's `process`, as far as it is read here. */
const processShape: Fields = {
  fields: {
    terminal: 'boolean',
    consoleSize: { fields: { height: 'number', width: 'number' } },
    user: { fields: { uid: 'number', gid: 'number', umask: 'number', additionalGids: { list: 'number' } } },
    args: strings,
    env: strings,
    cwd: 'string',
    capabilities: {
      fields: {
        bounding: strings,
        effective: strings,
        inheritable: strings,
        permitted: strings,
        ambient: strings,
      },
    },
    rlimits: { list: { fields: { type: 'string', soft: 'wide', hard: 'wide' }, required: ['type'] } },
    noNewPrivileges: 'boolean',
    oomScoreAdj: 'number',
    apparmorProfile: 'string',
    selinuxLabel: 'string',
    scheduler: {
      fields: {
        policy: 'string',
        nice: 'number',
        priority: 'number',
        flags: strings,
        runtime: 'wide',
        deadline: 'wide',
        period: 'wide',
      },
    },
    ioPriority: { fields: { class: 'string', priority: 'number' } },
    execCPUAffinity: { fields: { initial: 'string', final: 'string' } },
  },
};

const idMappings: Shape = {
  list: {
    fields: { containerID: 'number', hostID: 'number', size: 'number' },
    required: ['containerID', 'hostID', 'size'],
  },
};

const specShape: Fields = {
  fields: {
    process: processShape,
    root: { fields: { path: 'string', readonly: 'boolean' } },
    hostname: 'string',
    domainname: 'string',
    mounts: {
      list: {
        fields: {
          destination: 'string',
          type: 'string',
          source: 'string',
          options: strings,
          uidMappings: idMappings,
          gidMappings: idMappings,
        },
      },
    },
    hooks: { fields: {} },
    linux: {
      fields: {
        sysctl: { map: 'string' },
        namespaces: { list: { fields: { type: 'string', path: 'string' }, required: ['type'] } },
        devices: {
          list: {
            fields: { type: 'string', path: 'string', major: 'number', minor: 'number' },
            required: ['type', 'path'],
          },
        },
        seccomp: {
          fields: {
            defaultAction: 'string',
            defaultErrnoRet: 'number',
            architectures: strings,
            flags: strings,
            listenerPath: 'string',
            listenerMetadata: 'string',
            syscalls: {
              list: {
                fields: {
                  names: strings,
                  action: 'string',
                  errnoRet: 'number',
                  args: {
                    list: { fields: { index: 'number', value: 'wide', valueTwo: 'wide', op: 'string' } },
                  },
                },
              },
            },
          },
        },
        personality: { fields: { domain: 'string', flags: strings } },
        memoryPolicy: { fields: { mode: 'string', nodes: 'string', flags: strings } },
        timeOffsets: { map: { fields: { secs: 'wide', nanosecs: 'number' } } },
        netDevices: { map: { fields: { name: 'string' } } },
        mountLabel: 'string',
        rootfsPropagation: 'string',
        maskedPaths: strings,
        readonlyPaths: strings,
      },
    },
  },
};

/** Keys without which the rest means nothing; `null` elsewhere counts as absent. */
const REQUIRED = new Set([
  'destination',
  'names',
  'defaultAction',
  'action',
  'op',
  'index',
  'soft',
  'hard',
  'height',
  'width',
]);

function check(value: unknown, shape: Shape, at: string): void {
  if (shape === 'any') return;
  if (shape === 'wide') {
    if (typeof value !== 'bigint' && !Number.isInteger(value)) refuse(`${at} is not an integer`);
    return;
  }
  if (typeof shape === 'string') {
    if (shape === 'number' && typeof value === 'bigint') refuse(`${at} is ${value}, which is too large`);
    if (typeof value !== shape) refuse(`${at} is not a ${shape}`);
    return;
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) refuse(`${at} is not a list`);
    for (const [index, item] of (value as unknown[]).entries()) check(item, shape.list, `${at}[${index}]`);
    return;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(`${at} is not an object`);
  const object = value as Record<string, unknown>;
  if ('map' in shape) {
    for (const [key, item] of Object.entries(object)) check(item, shape.map, `${at}.${key}`);
    return;
  }
  for (const [key, inner] of Object.entries(shape.fields)) {
    const item = object[key];
    if (item === undefined || item === null) {
      if (REQUIRED.has(key) || shape.required?.includes(key)) refuse(`${at}.${key} is missing`);
      // So that what reads it later need not know of null.
      if (item === null) delete object[key];
      continue;
    }
    check(item, inner, at === '' ? key : `${at}.${key}`);
  }
}

/** Refuses, with the path of what is wrong, a parsed config.json that is not of the shape the plan is compiled from. */
export function checkSpecShape(spec: object): void {
  check(spec, specShape, '');
}

/** The same for an exec's `process`. */
export function checkProcessShape(process: object): void {
  check(process, processShape, 'process');
}
