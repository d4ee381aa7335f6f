import type { Init } from '@gantry/protocol';
import type { node } from '@gantry/protocol';
import type { AgentContext } from './context.js';
import { diskBytes } from './disk.js';
import { refusal } from './refuse.js';
import type { Registry } from './registry.js';
import { isVolumeName, newVolumeName, type VolumeRecord } from './volume-store.js';

/** Volumes as people see them: with who uses them. */
export class VolumeService {
  readonly #context: AgentContext;
  readonly #registry: Registry;

  constructor(context: AgentContext, registry: Registry) {
    this.#context = context;
    this.#registry = registry;
  }

  usersOf(name: string): readonly string[] {
    return this.#registry
      .all()
      .filter(({ record }) => record.mounts.some(({ type, source }) => type === 'volume' && source === name))
      .map(({ id }) => id);
  }

  async describe(volume: VolumeRecord, size: boolean): Promise<Init<node.Volume>> {
    const mountpoint = this.#context.volumes.dataPath(volume.name);
    return {
      name: volume.name,
      mountpoint,
      createdUnixMs: volume.createdUnixMs,
      labels: volume.labels,
      anonymous: volume.anonymous,
      containerIds: this.usersOf(volume.name),
      sizeBytes: size ? await diskBytes(mountpoint) : 0,
    };
  }

  async create(request: node.CreateVolumeRequest): Promise<VolumeRecord> {
    const name = request.name === '' ? newVolumeName() : request.name;
    if (!isVolumeName(name))
      throw refusal(
        'invalid_argument',
        'CreateVolume',
        name,
        `volume name ${JSON.stringify(name)} is not letters, digits, _, . and - after a letter or digit`,
      );
    const volume = await this.#context.volumes.ensure(name, {
      anonymous: request.name === '',
      labels: request.labels,
    });
    this.#context.events.emit('volume', 'create', name, { driver: 'local' });
    return volume;
  }

  async remove(name: string, force: boolean): Promise<void> {
    if (this.#context.volumes.get(name) === undefined) {
      if (force) return;
      throw refusal('not_found', 'RemoveVolume', name, `there is no volume ${name}`);
    }
    const [user] = this.usersOf(name);
    if (user !== undefined) {
      const holder = this.#registry.get(user)?.record.name ?? user;
      throw refusal(
        'failed_precondition',
        'RemoveVolume',
        name,
        `volume ${name} is in use by container ${holder}: remove that first`,
      );
    }
    await this.#context.volumes.remove(name);
    this.#context.events.emit('volume', 'destroy', name, { driver: 'local' });
  }

  /** Removes what no container uses: anonymous ones, or all. */
  async prune(all: boolean): Promise<{ deleted: string[]; reclaimedBytes: number }> {
    const deleted: string[] = [];
    let reclaimedBytes = 0;
    for (const volume of this.#context.volumes.all()) {
      if ((!all && !volume.anonymous) || this.usersOf(volume.name).length > 0) continue;
      const size = await diskBytes(this.#context.volumes.dataPath(volume.name));
      // Asked again: measuring took a while.
      if (this.usersOf(volume.name).length > 0) continue;
      await this.remove(volume.name, true);
      deleted.push(volume.name);
      reclaimedBytes += size;
    }
    return { deleted, reclaimedBytes };
  }
}
