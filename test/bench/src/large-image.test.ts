import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { makeLargeImage } from './large-image.js';

describe('the large image', () => {
  it('is the same bytes every time, about 2.8 times larger unpacked', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gantry-large-image-'));
    try {
      const first = await makeLargeImage(join(directory, 'first'), 400);
      const second = await makeLargeImage(join(directory, 'second'), 400);
      const read = (image: { directory: string }): string =>
        readFileSync(join(image.directory, 'index.json'), 'utf8');
      assert.equal(read(first), read(second));
      const ratio = first.unpackedBytes / first.compressedBytes;
      assert.ok(ratio > 2.3 && ratio < 3.5, `${ratio}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
