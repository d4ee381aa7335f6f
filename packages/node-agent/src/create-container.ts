import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { mergeExecution, type ImageConfig } from '@gantry/oci';
import { image, type node } from '@gantry/protocol';
import { architecture } from './container-facts.js';
import { Container, type ContainerSurroundings } from './container.js';
import type { AgentContext } from './context.js';
import { NEW_LIFECYCLE } from './lifecycle.js';
import { makeUpName } from './made-up-names.js';
import { initProgram } from './native.js';
import { NO_NETWORK, shortId, type ContainerRecord, type MountRecord } from './record.js';
import { isDiskFull, reasonOf, refusal } from './refuse.js';
import type { Registry } from './registry.js';
import { prepareVolumes } from './start-attempt.js';
import { completeMounts, parseVolumesFrom, resolveOwnMounts } from './validate-mounts.js';
import { checkContainerName, checkSpec, type CheckedWish } from './validate-spec.js';

/** Fields a caller may leave out arrive as zero values, but a spec that was left out whole must not. */
export interface CreateRequest {
  readonly name: string;
  readonly spec: node.ContainerSpec | undefined;
  readonly idempotencyKey: string;
}

export interface CreatedContainer {
  readonly container: Container;
  readonly warnings: readonly string[];
}

function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as ImageConfig;
  } catch (error) {
    throw refusal(
      'data_loss',
      'CreateContainer',
      name,
      `the configuration of image ${name} is not JSON`,
      error,
    );
  }
}

function sharedMounts(registry: Registry, wishes: readonly string[]): readonly MountRecord[] {
  return wishes.flatMap((wish) => {
    const { container, readOnly } = parseVolumesFrom(wish);
    const from = registry.find(container, 'CreateContainer');
    return from.record.mounts
      .filter(({ type }) => type !== 'tmpfs')
      .map((mount) => ({ ...mount, anonymous: false, readOnly: readOnly || mount.readOnly }));
  });
}

/** The sandbox to share, as the id of the container that owns it. */
function joinedSandbox(registry: Registry, wish: CheckedWish): Container | undefined {
  if (wish.network.mode !== 'container') return undefined;
  const joined = registry.find(wish.network.container, 'CreateContainer');
  if (joined.record.joinContainerId === '') return joined;
  return registry.get(joined.record.joinContainerId) ?? joined;
}

/**
 * Makes a container: everything is checked first; then the image is held, the record written, volumes made. What fails
 * takes back what was made before it. Cut short in between, the next comparison sweeps what has no record.
 */
export async function createContainer(
  context: AgentContext,
  registry: Registry,
  around: ContainerSurroundings,
  request: CreateRequest,
): Promise<CreatedContainer> {
  const { spec } = request;
  if (spec === undefined)
    throw refusal('invalid_argument', 'CreateContainer', '', 'no container is described');
  if (request.name !== '') checkContainerName(request.name);
  const wish = checkSpec(spec, architecture, existsSync(initProgram));
  const own = resolveOwnMounts(spec.mounts);
  const shared = sharedMounts(registry, spec.volumesFrom);
  const joined = joinedSandbox(registry, wish);
  const id = randomBytes(32).toString('hex');
  const name = request.name === '' ? makeUpName((candidate) => registry.isTaken(candidate)) : request.name;
  registry.reserve(name, id, 'CreateContainer');
  registry.creating.add(id);
  const undo: (() => Promise<unknown>)[] = [];
  try {
    undo.push(() => context.bus.call(image.ImageStore.methods.ReleaseRootfs, { containerId: id }));
    const rootfs = await context.bus.call(image.ImageStore.methods.PrepareRootfs, {
      containerId: id,
      image: spec.image,
    });
    const config = parseImageConfig(rootfs.configJson, spec.image);
    const execution = mergeExecution(config.config ?? {}, {
      entrypoint: spec.entrypoint,
      entrypointSet: spec.entrypointSet,
      command: spec.command,
      environment: spec.environment,
      workingDirectory: spec.workingDirectory,
      user: spec.user,
      stopSignal: spec.stopSignal,
      labels: spec.labels,
      healthCheck: spec.healthCheck,
    });
    if (!execution.ok) throw refusal('invalid_argument', 'CreateContainer', name, execution.reason);
    const record: ContainerRecord = Object.freeze({
      version: 1,
      id,
      name,
      createdUnixMs: Date.now(),
      idempotencyKey: request.idempotencyKey,
      spec,
      image: rootfs.reference,
      imageId: rootfs.imageId,
      execution: execution.value,
      hostname: joined?.record.hostname ?? (spec.hostname === '' ? shortId(id) : spec.hostname),
      mounts: completeMounts(own, shared, execution.value.volumes),
      joinContainerId: joined?.id ?? '',
      policy: wish.policy,
      network: NO_NETWORK,
      life: NEW_LIFECYCLE,
    });
    undo.push(() => context.records.remove(id));
    await context.records.create(record, !spec.autoRemove);
    for (const mount of record.mounts) {
      if (
        mount.type === 'bind' &&
        spec.mounts.some(({ createSource, target }) => createSource && target === mount.target)
      )
        await makeSource(mount.source);
      if (mount.type === 'volume' && mount.anonymous) undo.push(() => context.volumes.remove(mount.source));
    }
    await prepareVolumes(context, record, rootfs);
    const container = new Container(context, record, around);
    container.holdings.rootfs = { lowerdirs: rootfs.lowerdirs, writable: rootfs.writable };
    registry.add(container);
    container.emit('create');
    return { container, warnings: wish.warnings };
  } catch (error) {
    registry.releaseName(name, id);
    for (const step of undo.reverse())
      await step().catch((failure: unknown) => {
        context.logger.warn(
          { container: id, reason: reasonOf(failure) },
          'undoing a creation failed, the next comparison sweeps',
        );
      });
    if (!isDiskFull(error)) throw error;
    const place = context.config.state_dir;
    const message = `container ${name} cannot be made: the disk of ${place} is full, prune or remove something`;
    throw refusal('resource_exhausted', 'CreateContainer', name, message, error);
  } finally {
    registry.creating.delete(id);
  }
}

/** A directory where nothing is; a file, socket or device is mounted as it is. */
async function makeSource(path: string): Promise<void> {
  if (!existsSync(path)) await mkdir(path, { recursive: true });
}
