import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { copyContent } from './copy-up.js';
import type { LayerTree } from './layer-tree.js';
import { refusal } from './refuse.js';

/** The file `volume.json`. */
export interface VolumeRecord {
  readonly version: 1;
  readonly name: string;
  readonly createdUnixMs: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Made for one container without a name of its own. */
  readonly anonymous: boolean;
  /** The image's content is being copied in; found set, the copy is done again from the start. */
  readonly filling: boolean;
  /** Its first use has come: it is never filled again. */
  readonly used: boolean;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

export function isVolumeName(name: string): boolean {
  return NAME.test(name);
}

export function newVolumeName(): string {
  return randomBytes(32).toString('hex');
}

/** `<state_dir>/volumes/<name>/{volume.json,data}`. */
export class VolumeStore {
  readonly directory: string;
  readonly #volumes = new Map<string, VolumeRecord>();
  /** One filling at a time for each volume, however many containers start with it. */
  readonly #filling = new Map<string, Promise<void>>();

  constructor(stateDirectory: string) {
    this.directory = join(stateDirectory, 'volumes');
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
  }

  async load(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      if (!isVolumeName(name)) continue;
      const text = await readFile(this.#recordPath(name), 'utf8').catch(() => '');
      const record = parseVolume(text, name);
      if (record !== undefined) this.#volumes.set(name, record);
      // Without a readable record but with data it is somebody's: keep it under its name.
      else if (await exists(this.dataPath(name)))
        this.#volumes.set(name, newRecord(name, { anonymous: false, labels: {}, used: true }));
      else await rm(join(this.directory, name), { recursive: true, force: true });
    }
  }

  dataPath(name: string): string {
    return join(this.directory, name, 'data');
  }

  get(name: string): VolumeRecord | undefined {
    return this.#volumes.get(name);
  }

  all(): readonly VolumeRecord[] {
    return [...this.#volumes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The volume of that name, made when there is none. */
  async ensure(
    name: string,
    options: { readonly anonymous: boolean; readonly labels: Readonly<Record<string, string>> },
  ): Promise<VolumeRecord> {
    const known = this.#volumes.get(name);
    if (known !== undefined) return known;
    if (!isVolumeName(name))
      throw refusal(
        'invalid_argument',
        'CreateVolume',
        name,
        `volume name ${JSON.stringify(name)} is not valid`,
      );
    const record = newRecord(name, { ...options, used: false });
    // Known at once: a second caller in between gets the same volume.
    this.#volumes.set(name, record);
    try {
      await mkdir(this.dataPath(name), { recursive: true, mode: 0o755 });
      await this.#write(record);
    } catch (error) {
      this.#volumes.delete(name);
      await rm(join(this.directory, name), { recursive: true, force: true }).catch(() => undefined);
      throw error;
    }
    return record;
  }

  /** At a volume's first use: copies what the image has at `target`, unless somebody put something in already. */
  async fill(name: string, tree: LayerTree, target: string): Promise<void> {
    const record = this.#volumes.get(name);
    if (record === undefined || record.used) return;
    const running = this.#filling.get(name);
    if (running !== undefined) return running;
    const filling = this.#fill(record, tree, target).finally(() => this.#filling.delete(name));
    this.#filling.set(name, filling);
    return filling;
  }

  async #fill(record: VolumeRecord, tree: LayerTree, target: string): Promise<void> {
    const data = this.dataPath(record.name);
    if (record.filling) {
      await rm(data, { recursive: true, force: true });
      await mkdir(data, { mode: 0o755 });
    }
    const entry = tree.resolve(target);
    const empty = (await readdir(data)).length === 0;
    if (empty && entry?.kind === 'directory') {
      await this.#write({ ...record, filling: true });
      await copyContent(tree, entry, data);
    }
    await this.#write({ ...record, filling: false, used: true });
  }

  async remove(name: string): Promise<void> {
    this.#volumes.delete(name);
    const place = join(this.directory, name);
    // Renamed first: a removal that is cut short leaves no half-empty volume under its name.
    const grave = join(this.directory, `~${name}`);
    await rm(grave, { recursive: true, force: true });
    try {
      await rename(place, grave);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    await rm(grave, { recursive: true, force: true });
  }

  /** Finishes removals that were cut short. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.directory))
      if (name.startsWith('~')) await rm(join(this.directory, name), { recursive: true, force: true });
  }

  #recordPath(name: string): string {
    return join(this.directory, name, 'volume.json');
  }

  async #write(record: VolumeRecord): Promise<void> {
    const path = this.#recordPath(record.name);
    {
      await using file = await open(`${path}.new`, 'w', 0o600);
      await file.writeFile(JSON.stringify(record));
      await file.datasync();
    }
    await rename(`${path}.new`, path);
    if (this.#volumes.has(record.name)) this.#volumes.set(record.name, record);
  }
}

function newRecord(
  name: string,
  options: {
    readonly anonymous: boolean;
    readonly labels: Readonly<Record<string, string>>;
    readonly used: boolean;
  },
): VolumeRecord {
  return { version: 1, name, createdUnixMs: Date.now(), filling: false, ...options };
}

function parseVolume(text: string, name: string): VolumeRecord | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<VolumeRecord> | null;
    return parsed?.version === 1 && parsed.name === name ? Object.freeze(parsed as VolumeRecord) : undefined;
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
