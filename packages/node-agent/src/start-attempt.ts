import { composeRuntimeSpec, deviceRules, stringifyLossless } from '@gantry/oci';
import { cgroup, GantryError, image, isGantryError, network, spawn, type common } from '@gantry/protocol';
import { containerFacts, devicesOf, sysctlsOf } from './container-facts.js';
import type { AgentContext } from './context.js';
import { writeGeneratedFiles } from './generated-files.js';
import { LayerTree } from './layer-tree.js';
import { NO_NETWORK, networkNames, shortId, type ContainerRecord, type NetworkRecord } from './record.js';
import { reasonOf, refusal } from './refuse.js';
import type { UserLookup } from './user-lookup.js';
import { parseNetwork } from './validate-spec.js';

const DEADLINE_MS = 30_000;
const NO_HANDLE: common.KernelHandle = { path: '', device: 0, inode: 0 };

export interface StartedAttempt {
  readonly pid: number;
  readonly startedUnixNanos: number;
  readonly network: NetworkRecord;
}

/** Where a container's root file system comes from; the same as long as the container lives. */
export type RootfsDirectories = Pick<image.PrepareRootfsResponse, 'lowerdirs' | 'writable'>;

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface StartOptions {
  readonly users: UserLookup;
  /** Directories that shims join. */
  readonly shimCgroups: () => Promise<readonly common.KernelHandle[]>;
  /** What PrepareRootfs answered before, when this agent has asked already. */
  readonly rootfs: RootfsDirectories | undefined;
  /** Somebody waits to be attached. */
  readonly holdOutput: boolean;
  /** Of the terminal, before the process can look; undefined leaves the kernel's 0 by 0. */
  readonly terminalSize: TerminalSize | undefined;
  /** The record as it must stand before anything runs. */
  readonly recorded: Promise<void>;
}

const MODES = {
  bridge: 'NETWORK_MODE_BRIDGE',
  none: 'NETWORK_MODE_NONE',
  host: 'NETWORK_MODE_HOST',
  container: 'NETWORK_MODE_CONTAINER',
} as const satisfies Record<string, network.NetworkMode>;

function attachSandbox(context: AgentContext, record: ContainerRecord): Promise<network.Sandbox> {
  const { mode } = parseNetwork(record.spec.network);
  const publishes = mode === 'bridge';
  const request = {
    containerId: record.id,
    networkMode: MODES[mode],
    userMode:
      record.spec.userNamespace === 'host'
        ? ('USER_NAMESPACE_MODE_HOST' as const)
        : ('USER_NAMESPACE_MODE_PRIVATE' as const),
    joinContainerId: record.joinContainerId,
    names: [record.name, shortId(record.id)],
    ports: publishes ? record.spec.ports.map((port) => ({ ...port, protocol: port.protocol || 'tcp' })) : [],
    sysctls: sysctlsOf(record).network,
    dnsServers: record.spec.dnsServers,
    ...networkNames(record.spec),
  };
  return context.bus
    .call(network.NetworkManager.methods.AttachSandbox, request, { deadlineMs: DEADLINE_MS })
    .then(({ sandbox }) => sandbox ?? missing('network-manager', 'sandbox', record));
}

function createCgroup(context: AgentContext, record: ContainerRecord): Promise<cgroup.Cgroup> {
  const rules = deviceRules(
    record.spec.privileged,
    devicesOf(record).map(({ rule }) => rule),
  );
  const request = {
    containerId: record.id,
    resources: record.spec.resources,
    name: record.name,
    image: record.image,
    devicesJson: Buffer.from(JSON.stringify(rules)),
  };
  return context.bus
    .call(cgroup.CgroupSupervisor.methods.CreateCgroup, request, { deadlineMs: DEADLINE_MS })
    .then((answer) => answer.cgroup ?? missing('cgroup-supervisor', 'cgroup', record));
}

async function prepareRootfs(context: AgentContext, record: ContainerRecord): Promise<RootfsDirectories> {
  const request = { containerId: record.id, image: record.imageId };
  return context.bus.call(image.ImageStore.methods.PrepareRootfs, request, { deadlineMs: DEADLINE_MS });
}

function missing(service: string, what: string, record: ContainerRecord): never {
  throw refusal('internal', 'StartContainer', record.id, `${service} answered without a ${what}`);
}

function networkRecord(sandbox: network.Sandbox): NetworkRecord {
  const { ipAddress, prefixLength, gateway, macAddress, sandboxId, idBase, ports } = sandbox;
  return { ...NO_NETWORK, ipAddress, prefixLength, gateway, macAddress, sandboxId, idBase, ports };
}

/** One error out of several: the first one's code, everybody's words. */
function together(record: ContainerRecord, errors: readonly unknown[]): GantryError {
  const [first] = errors;
  const known = first instanceof GantryError ? first : undefined;
  return new GantryError({
    code: known?.code ?? 'internal',
    operation: 'StartContainer',
    object: record.id,
    message: [...new Set(errors.map(reasonOf))].join('; '),
    retryable: known?.retryable,
    cause: first,
  });
}

/** Gives back what a start has taken; every error is told, none stops the others. */
export async function releaseAttempt(context: AgentContext, id: string): Promise<readonly unknown[]> {
  const results = await Promise.allSettled([
    context.bus.call(
      network.NetworkManager.methods.DetachSandbox,
      { containerId: id },
      { deadlineMs: DEADLINE_MS },
    ),
    context.bus.call(
      cgroup.CgroupSupervisor.methods.DestroyCgroup,
      { containerId: id },
      { deadlineMs: DEADLINE_MS },
    ),
  ]);
  return results.filter((result) => result.status === 'rejected').map((result) => result.reason as unknown);
}

/** Makes the spawner forget a process that has ended; that it never knew it is fine. */
export async function forgetProcess(context: AgentContext, id: string): Promise<void> {
  try {
    await context.bus.call(
      spawn.Spawner.methods.DeleteContainer,
      { containerId: id },
      { deadlineMs: DEADLINE_MS },
    );
  } catch (error) {
    if (!isGantryError(error, 'not_found')) throw error;
  }
}

/** Volumes exist and hold what the image has in their place. */
export async function prepareVolumes(
  context: AgentContext,
  record: ContainerRecord,
  rootfs: { readonly lowerdirs: readonly common.KernelHandle[] },
): Promise<void> {
  const volumes = record.mounts.filter(({ type }) => type === 'volume');
  if (volumes.length === 0) return;
  const tree = new LayerTree(rootfs.lowerdirs.map(({ path }) => path));
  for (const { source, target, anonymous } of volumes) {
    await context.volumes.ensure(source, { anonymous, labels: {} });
    await context.volumes.fill(source, tree, target);
  }
}

async function askSpawner(
  context: AgentContext,
  record: ContainerRecord,
): Promise<spawn.ContainerState | undefined> {
  try {
    const { container } = await context.bus.call(spawn.Spawner.methods.GetContainer, {
      containerId: record.id,
    });
    return container;
  } catch (error) {
    if (isGantryError(error, 'not_found')) return undefined;
    throw error;
  }
}

/** A lost answer says nothing of what happened: the same attempt, asked for again, gives that attempt's result. */
async function startProcess(
  context: AgentContext,
  request: ReturnType<typeof composeRequest>,
): Promise<spawn.StartContainerResponse> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await context.bus.call(spawn.Spawner.methods.StartContainer, request, {
        deadlineMs: DEADLINE_MS,
      });
    } catch (error) {
      const isUnknown = isGantryError(error, 'unavailable') || isGantryError(error, 'deadline_exceeded');
      if (!isUnknown || tries === 3) throw error;
    }
  }
}

/**
 * Makes the recorded attempt run: three preparations side by side, then the spec, then the process. May be repeated for
 * the same attempt: every service answers a repeated call with what it has. Fails with everything given back.
 */
export async function startAttempt(
  context: AgentContext,
  record: ContainerRecord,
  options: StartOptions,
): Promise<StartedAttempt> {
  const { id } = record;
  const { attempt } = record.life;
  const [sandbox, group, rootfs, shims, recorded] = await Promise.allSettled([
    attachSandbox(context, record),
    createCgroup(context, record),
    options.rootfs ?? prepareRootfs(context, record),
    options.shimCgroups(),
    options.recorded,
  ]);
  const rollBack = async (errors: readonly unknown[]): Promise<never> => {
    throw together(record, [...errors, ...(await releaseAttempt(context, id))]);
  };
  if (
    sandbox.status === 'rejected' ||
    group.status === 'rejected' ||
    rootfs.status === 'rejected' ||
    shims.status === 'rejected' ||
    recorded.status === 'rejected'
  ) {
    const results = [sandbox, group, rootfs, shims, recorded];
    return rollBack(
      results.filter((result) => result.status === 'rejected').map((result) => result.reason as unknown),
    );
  }
  let request;
  try {
    await prepareVolumes(context, record, rootfs.value);
    request = composeRequest(context, record, {
      sandbox: sandbox.value,
      group: group.value,
      rootfs: rootfs.value,
      shimCgroups: shims.value,
      options,
    });
  } catch (error) {
    return rollBack([error]);
  }
  try {
    const started = await startProcess(context, request);
    return {
      pid: started.pid,
      startedUnixNanos: started.startedUnixNanos,
      network: networkRecord(sandbox.value),
    };
  } catch (error) {
    // Whether it runs is not known after a lost answer: ask before taking anything from under it.
    const found = await askSpawner(context, record);
    if (found?.attempt === attempt && found.status === 'running')
      return {
        pid: found.pid,
        startedUnixNanos: found.startedUnixNanos,
        network: networkRecord(sandbox.value),
      };
    const forgotten = await forgetProcess(context, id).then(
      () => [],
      (failure: unknown) => [failure],
    );
    return rollBack([error, ...forgotten]);
  }
}

interface Prepared {
  readonly sandbox: network.Sandbox;
  readonly group: cgroup.Cgroup;
  readonly rootfs: RootfsDirectories;
  readonly shimCgroups: readonly common.KernelHandle[];
  readonly options: StartOptions;
}

function composeRequest(context: AgentContext, record: ContainerRecord, prepared: Prepared) {
  const { sandbox, group, rootfs, options } = prepared;
  const userNamespace = (sandbox.userNamespace?.path ?? '') !== '';
  const networkNamespace = (sandbox.networkNamespace?.path ?? '') !== '';
  const writable = rootfs.writable ?? missing('image-store', 'writable directory', record);
  const user = options.users.inLayers(
    `${writable.path}/upper`,
    rootfs.lowerdirs.map(({ path }) => path),
    { user: record.execution.user, groups: record.spec.groups },
  );
  // A container that shares a sandbox has its owner's names too, and sees them change.
  const filesDirectory = context.records.pathOf(record.joinContainerId || record.id);
  if (record.joinContainerId === '') writeGeneratedFiles(filesDirectory, { record, sandbox });
  const facts = containerFacts({
    record,
    user,
    userNamespace,
    networkNamespace,
    filesDirectory,
    volumePath: (name) => context.volumes.dataPath(name),
  });
  const log = record.spec.log;
  const spec = composeRuntimeSpec(facts);
  const size = options.terminalSize;
  const sized =
    record.spec.terminal && size !== undefined && spec.process !== undefined
      ? { ...spec, process: { ...spec.process, consoleSize: { height: size.rows, width: size.columns } } }
      : spec;
  return {
    containerId: record.id,
    attempt: record.life.attempt,
    runtimeSpecJson: Buffer.from(stringifyLossless(sized)),
    rootfs: { lowerdirs: rootfs.lowerdirs, writable },
    userNamespace: sandbox.userNamespace ?? NO_HANDLE,
    networkNamespace: sandbox.networkNamespace ?? NO_HANDLE,
    cgroups: group.paths.flatMap(({ directory }) => (directory === undefined ? [] : [directory])),
    shimCgroups: prepared.shimCgroups,
    log:
      log?.driver === 'none'
        ? { path: '', maxSizeBytes: 0, maxFiles: 1 }
        : {
            path: logPath(context, record.id),
            maxSizeBytes: log?.maxSizeBytes ?? context.config.log_max_size_bytes,
            maxFiles: log?.maxFiles ?? context.config.log_max_files,
          },
    openStdin: record.spec.openStdin,
    stdinOnce: record.spec.stdinOnce,
    cgroupV2: group.version === 2,
    holdOutput: options.holdOutput,
  };
}

/** Where the shim writes the container's log. */
export function logPath(context: AgentContext, id: string): string {
  return context.records.pathOf(id, `${id}-json.log`);
}
