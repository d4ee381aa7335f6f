import { isIP } from 'node:net';
import type { Init, node } from '@gantry/protocol';
import { present, type StackContext } from './context.js';
import { readLabels, type Deploy } from './deploy.js';
import { readEnvironment } from './environment.js';
import type { Field } from './field.js';
import { readHealthCheck, readLog } from './health-and-log.js';
import { parseImage } from './image-name.js';
import { isSignal, readCapability } from './linux-names.js';
import { readMounts, resolvePath } from './mounts.js';
import { readNetworking } from './networks.js';
import { checkExpose, readPorts } from './ports.js';
import { readResources, readUlimits } from './resources.js';

/** What one container of the service is made of. */
export function readContainer(
  service: Field,
  context: StackContext,
  deploy: Deploy,
): Init<node.ContainerSpec> {
  const text = (name: string): string | undefined => service.get(name)?.string();
  const flag = (name: string): true | undefined => (service.get(name)?.boolean() === true ? true : undefined);
  const texts = (name: string): string[] | undefined => service.get(name)?.strings();
  const manyTexts = (name: string): string[] | undefined =>
    service
      .get(name)
      ?.oneOrMany()
      .flatMap((item) => item.filled() ?? []);
  const image = service.get('image');
  if (image === undefined && !service.getNullable('image') && !service.getNullable('build'))
    service.refuseKey('has no image');
  const expose = service.get('expose');
  if (expose !== undefined) checkExpose(expose);
  const ports = service.get('ports');
  const ulimits = service.get('ulimits');
  return present({
    image: image?.parseString(parseImage),
    ...readCommand(service),
    environment: readEnvironment(service, context),
    workingDirectory: service.get('working_dir')?.filled(),
    user: text('user'),
    groups: service
      .get('group_add')
      ?.items()
      .flatMap((item) => item.text() ?? []),
    hostname: service.get('hostname')?.parseString(parseHostname),
    terminal: flag('tty'),
    openStdin: flag('stdin_open'),
    labels: readLabels(service.get('labels')),
    mounts: readMounts(service, context),
    ports: ports === undefined ? [] : readPorts(ports),
    resources: readResources(service),
    readOnlyRootfs: flag('read_only'),
    capabilitiesAdd: readCapabilities(service.get('cap_add')),
    capabilitiesDrop: readCapabilities(service.get('cap_drop')),
    privileged: flag('privileged'),
    securityOptions: service
      .get('security_opt')
      ?.items()
      .flatMap((item) => readSecurityOption(item, context)),
    devices: service
      .get('devices')
      ?.items()
      .flatMap((item) => readDevice(item)),
    ulimits: ulimits === undefined ? [] : readUlimits(ulimits),
    sysctls: readSysctls(service.get('sysctls')),
    shmSizeBytes: service.get('shm_size')?.bytes(),
    init: flag('init'),
    userNamespace: service.get('userns_mode')?.oneOf(['host', 'private']),
    ...readNetworking(service, context),
    extraHosts: readExtraHosts(service.get('extra_hosts')),
    dnsServers: service
      .get('dns')
      ?.oneOrMany()
      .flatMap((item) => item.parseString(parseAddress) ?? []),
    dnsSearch: manyTexts('dns_search'),
    dnsOptions: texts('dns_opt'),
    restartPolicy: deploy.restartPolicy,
    stopSignal: service.get('stop_signal')?.parse(parseSignal),
    stopTimeoutSeconds: readStopTimeout(service.get('stop_grace_period')),
    healthCheck: readHealthCheck(service.get('healthcheck')),
    log: readLog(service.get('logging')),
    oomScoreAdjust: service.get('oom_score_adj')?.integer({ minimum: -1000, maximum: 1000 }),
  });
}

type Checked<T> = { ok: true; value: T } | { ok: false; why: string };

function parseHostname(text: string): Checked<string> {
  return text.length <= 63 && /^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(text)
    ? { ok: true, value: text }
    : { ok: false, why: `is ${JSON.stringify(text)}, not a host name` };
}

const parseAddress = (text: string): Checked<string> =>
  isIP(text) === 0
    ? { ok: false, why: `is ${JSON.stringify(text)}, not an IP address` }
    : { ok: true, value: text };

const parseSignal = (text: string): Checked<string> =>
  isSignal(text)
    ? { ok: true, value: text }
    : { ok: false, why: `is ${JSON.stringify(text)}, not a signal (such as SIGTERM)` };

function readCapabilities(field: Field | undefined): string[] {
  return (field?.items() ?? []).flatMap((item) => {
    const text = item.string();
    if (text === undefined) return [];
    return (
      readCapability(text) ?? item.refuse(`is ${JSON.stringify(text)}, no capability that Linux has`) ?? []
    );
  });
}

/** null leaves the image's; an empty entrypoint clears it, and with it the image's command. */
function readCommand(service: Field): {
  readonly command?: string[] | undefined;
  readonly entrypoint?: string[] | undefined;
  readonly entrypointSet?: boolean | undefined;
} {
  const entrypoint = service.get('entrypoint')?.words();
  const commandField = service.get('command');
  const command = commandField?.words();
  if (command?.length === 0 && entrypoint === undefined)
    commandField?.refuse(
      "is empty: that the image's command is not run is only done beside an entrypoint (such as [])",
    );
  return {
    command,
    ...(entrypoint === undefined
      ? {}
      : {
          entrypoint: entrypoint.length === 1 && entrypoint[0] === '' ? [] : entrypoint,
          entrypointSet: true,
        }),
  };
}

function readSecurityOption(item: Field, context: StackContext): string[] {
  const text = item.string();
  if (text === undefined) return [];
  const match = /^(no-new-privileges|seccomp|systempaths)(?:[=:](.*))?$/.exec(text);
  const [, name, value] = match ?? [];
  if (name === 'no-new-privileges' && (value === undefined || /^(true|false)$/.test(value)))
    return [value === 'false' ? 'no-new-privileges:false' : 'no-new-privileges'];
  if (name === 'systempaths' && value === 'unconfined') return ['systempaths=unconfined'];
  if (name === 'seccomp' && value === 'unconfined') return ['seccomp=unconfined'];
  if (name !== 'seccomp' || value === undefined || value === '')
    return (
      item.refuse(
        `is ${JSON.stringify(text)}; no-new-privileges, seccomp=unconfined, seccomp=FILE and systempaths=unconfined are done`,
      ) ?? []
    );
  const path = resolvePath(value, context);
  const profile = path === undefined ? undefined : context.readFile(path);
  if (profile === undefined)
    return item.refuse(`is ${JSON.stringify(text)}, a file that cannot be read`) ?? [];
  try {
    JSON.parse(profile);
  } catch {
    return item.refuse(`is ${JSON.stringify(text)}, a file that is not JSON`) ?? [];
  }
  return [`seccomp=${profile}`];
}

function readDevice(item: Field): Init<node.DeviceSpec>[] {
  const refuse = (why: string): [] => item.refuse(why) ?? [];
  let parts: readonly (string | undefined)[];
  if (item.isMapping) {
    const source = item.get('source')?.string();
    parts = [source, item.get('target')?.string() ?? source, item.get('permissions')?.string()];
    if (source === undefined) return refuse('has no source: the device on the node');
  } else {
    const split = item.string()?.split(':');
    if (split === undefined) return [];
    if (split.length > 3) return refuse('is not of the form /dev/HOST[:/dev/CONTAINER][:rwm]');
    const rightsSecond = split.length === 2 && split[1]?.startsWith('/') === false;
    parts = rightsSecond ? [split[0], split[0], split[1]] : [split[0], split[1] ?? split[0], split[2]];
  }
  const [hostPath = '', containerPath = '', permissions = 'rwm'] = parts;
  if (!hostPath.startsWith('/') || !containerPath.startsWith('/') || !/^[rwm]{1,3}$/.test(permissions))
    return refuse(
      hostPath.includes('=')
        ? 'names a CDI device, which is not done'
        : 'is not of the form /dev/HOST[:/dev/CONTAINER][:rwm]',
    );
  return [{ hostPath, containerPath, permissions }];
}

function readSysctls(field: Field | undefined): Record<string, string> {
  const pairs = [...(field?.pairs() ?? [])].flatMap(([name, { value, field: place }]) =>
    value === undefined ? (place.refuse(`has no value for ${name}`) ?? []) : [[name, value] as const],
  );
  return Object.fromEntries(pairs);
}

/** "HOST:IP" lines; a map may give a host several addresses. */
function readExtraHosts(field: Field | undefined): string[] {
  if (field === undefined) return [];
  const line = (host: string, address: string, place: Field): string[] => {
    const bare = address.trim().replace(/^\[(.*)\]$/, '$1');
    if (host !== '' && !/\s/.test(host) && (isIP(bare) !== 0 || bare === 'host-gateway'))
      return [`${host}:${bare}`];
    return place.refuse('is not of the form HOST=ADDRESS') ?? [];
  };
  if (field.isMapping)
    return field
      .entries()
      .flatMap(([host, value]) => value.oneOrMany().flatMap((item) => line(host, item.string() ?? '', item)));
  return field.items().flatMap((item) => {
    const match = /^([^:=]*)[:=](.*)$/.exec(item.string() ?? '');
    return line(match?.[1] ?? '', match?.[2] ?? '', item);
  });
}

function readStopTimeout(field: Field | undefined): number | undefined {
  const ms = field?.durationMs();
  if (field === undefined || ms === undefined) return undefined;
  const seconds = Math.ceil(ms / 1000);
  if (seconds > 0xffff_ffff) return field.refuse('is longer than a century');
  if (seconds * 1000 !== ms) field.warn(`is rounded up to ${seconds} s: only whole seconds are done`);
  return seconds;
}
