import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Handlers } from '@gantry/bus';
import { GantryError, type image, type Init } from '@gantry/protocol';

const absent = (operation: string, name: string): GantryError =>
  new GantryError({ code: 'not_found', operation, object: name, message: `image ${name} is not here` });

/** What LoadImage found in its source. */
export interface Loaded {
  readonly path: string;
  readonly content: Buffer;
}

/** An image store that knows names only. `registry/...` can be pulled; `slow/...` never ends; `broken/...` fails late. */
export function scriptedImageStore(images: Set<string>, loads: Loaded[]): Handlers<typeof image.ImageStore> {
  const describe = (reference: string): Init<image.Image> => ({
    id: `sha256:${Buffer.from(reference).toString('hex').padEnd(64, '0').slice(0, 64)}`,
    references: [reference],
    platform: 'linux/amd64',
    createdUnixMs: 1_700_000_000_000,
    sizeBytes: 1_234_567,
    configJson: Buffer.from('{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]}}'),
  });
  const some: Partial<Handlers<typeof image.ImageStore>> = {
    ListImages: () => Promise.resolve({ images: [...images].map(describe) }),
    GetImage: ({ name }) =>
      images.has(name)
        ? Promise.resolve({ image: describe(name) })
        : Promise.reject(absent('GetImage', name)),
    TagImage: ({ name, reference }) => {
      if (!images.has(name)) throw absent('TagImage', name);
      images.add(reference);
      return Promise.resolve({});
    },
    RemoveImage: ({ name }) => {
      if (!images.delete(name)) throw absent('RemoveImage', name);
      return Promise.resolve({ untagged: [name], deleted: [] });
    },
    PullImage: async function* ({ reference }, { signal }) {
      await sleep(1);
      if (!/^(registry|slow|broken)\//.test(reference))
        throw new GantryError({
          code: 'not_found',
          operation: 'PullImage',
          object: reference,
          message: `the registry has no image ${reference}`,
        });
      yield {
        layer: {
          digest: `sha256:${'ab'.repeat(32)}`,
          status: 'downloading',
          currentBytes: 10,
          totalBytes: 100,
        },
      };
      if (reference.startsWith('slow/'))
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
      if (reference.startsWith('broken/')) {
        await sleep(200);
        throw new GantryError({
          code: 'data_loss',
          operation: 'PullImage',
          object: reference,
          message: `a layer of ${reference} does not match its digest`,
        });
      }
      yield {
        layer: { digest: `sha256:${'ab'.repeat(32)}`, status: 'done', currentBytes: 100, totalBytes: 100 },
      };
      images.add(reference);
      yield { image: describe(reference) };
    },
    LoadImage: async function* ({ source, removeSource }) {
      const path = source?.path ?? '';
      const content = readFileSync(path);
      loads.push({ path, content });
      await sleep(1);
      if (content.includes('hostile'))
        throw new GantryError({
          code: 'invalid_argument',
          operation: 'LoadImage',
          object: path,
          message: 'the archive holds an absolute name /etc/passwd',
        });
      if (removeSource) rmSync(path);
      images.add('loaded:1');
      yield { image: describe('loaded:1') };
    },
    GetDiskUsage: () => Promise.resolve({ imageCount: images.size, layerBytes: 1_000_000 }),
    PruneImages: () => Promise.resolve({ deleted: ['sha256:1'], reclaimedBytes: 5_000_000 }),
  };
  return some as Handlers<typeof image.ImageStore>;
}
