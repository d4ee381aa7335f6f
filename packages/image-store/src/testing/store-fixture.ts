import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageRecord } from '../image-catalog.js';
import { ImageStore } from '../image-store.js';
import type { LayerProgressReport } from '../layer-store.js';
import { writeLayout, type LayerFixture } from './layout-fixture.js';
import { makeTar, type TarEntry } from './tar-fixture.js';

/** A store with a directory of its own, beside one for the test's files. Both go away with it. */
export class StoreFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'gantry-test-image-store-'));
  readonly stateDir = join(this.root, 'state');
  readonly work = join(this.root, 'work');
  #store: ImageStore | undefined;
  #layouts = 0;

  async open(): Promise<ImageStore> {
    this.#store = await ImageStore.open({
      state_dir: this.stateDir,
      run_dir: join(this.root, 'run'),
      insecure_registries: [],
    });
    return this.#store;
  }

  get store(): ImageStore {
    if (this.#store === undefined) throw new Error('the store is not open');
    return this.#store;
  }

  async load(path: string): Promise<ImageRecord[]> {
    const images: ImageRecord[] = [];
    const info = statSync(path);
    await this.store.load(
      { source: { path, device: info.dev, inode: info.ino }, removeSource: false },
      {
        signal: new AbortController().signal,
        onProgress: () => undefined,
        onImage: (image) => images.push(image),
      },
    );
    return images;
  }

  async pull(
    reference: string,
    options: {
      platform?: string;
      policy?: string;
      signal?: AbortSignal;
      onProgress?: (report: LayerProgressReport) => void;
    } = {},
  ): Promise<ImageRecord> {
    const { signal = new AbortController().signal, onProgress = (): void => undefined } = options;
    return this.store.pull(
      { reference, platform: options.platform ?? '', policy: options.policy ?? '', credentials: undefined },
      { signal, onProgress },
    );
  }

  /** Loads an image of these layers and answers where the layers are, bottom first. */
  async unpack(...layers: (readonly TarEntry[] | LayerFixture)[]): Promise<string[]> {
    const directory = join(this.work, `layout${(this.#layouts += 1)}`);
    mkdirSync(directory, { recursive: true });
    const made = layers.map((layer) => ('tar' in layer ? layer : { tar: makeTar(layer) }));
    writeLayout(directory, made, { name: `example.org/made:${this.#layouts}` });
    const [image] = await this.load(directory);
    return (image?.chainIds ?? []).map((chainId) => this.store.parts.layers.diffPath(chainId));
  }

  async unpackOne(layer: readonly TarEntry[] | LayerFixture): Promise<string> {
    const [path = ''] = await this.unpack(layer);
    return path;
  }

  /** Names of everything that the store keeps, by directory, without its records' content. */
  contents(): Record<'blobs' | 'layers' | 'images' | 'incoming' | 'rootfs', string[]> {
    const names = (...path: string[]): string[] => readdirSync(join(this.stateDir, ...path)).sort();
    return {
      blobs: names('blobs', 'sha256'),
      layers: names('layers').filter((name) => name !== 'incoming'),
      images: names('images'),
      incoming: [...names('blobs', 'incoming'), ...names('blobs', 'loading'), ...names('layers', 'incoming')],
      rootfs: names('rootfs').filter((name) => name !== '.empty'),
    };
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
