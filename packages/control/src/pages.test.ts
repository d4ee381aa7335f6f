import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchesBySize, pageOf } from './pages.js';

const kib = 1024;

/** All pages of a listing, each as the numbers on it. */
function pagesOf(sizes: readonly number[], pageSize = 0): number[][] {
  const items = sizes.map((bytes, index) => ({ bytes, index }));
  const pages: number[][] = [];
  for (let pageToken = ''; ;) {
    const page = pageOf(
      items,
      {
        keyOf: ({ index }) => String(index).padStart(4, '0'),
        show: (item) => item,
        sizeOf: ({ bytes }) => bytes,
      },
      { pageSize, pageToken },
    );
    pages.push(page.items.map(({ index }) => index));
    assert.ok(pages.length < 100);
    if (page.nextPageToken === '') return pages;
    pageToken = page.nextPageToken;
  }
}

test('a page ends before its bytes are too many, and no item is left out', () => {
  assert.deepEqual(pagesOf([200 * kib, 184 * kib, 1, 384 * kib - 1, 1]), [[0, 1], [2, 3], [4]]);
  assert.deepEqual(pagesOf([1, 900 * kib, 1]), [[0], [1], [2]]);
});

test('a page ends at its number of items too', () => {
  assert.deepEqual(pagesOf([1, 1, 1, 1], 3), [[0, 1, 2], [3]]);
  assert.deepEqual(pagesOf([1, 1], 2), [[0, 1]]);
  assert.deepEqual(pagesOf([]), [[]]);
  assert.equal(pagesOf(Array<number>(250).fill(1), 9_999)[0]?.length, 200);
});

test('batches keep the order, and one item that is too large is alone', () => {
  const batches = [...batchesBySize([3, 3, 5, 20, 1, 9], (bytes) => bytes, 10)];
  assert.deepEqual(batches, [[3, 3], [5], [20], [1, 9]]);
});
