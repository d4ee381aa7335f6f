const usualPageSize = 100;
const largestPageSize = 200;
/** Well under what nats takes in one message. */
const mostPageBytes = 384 * 1024;

interface Listing<T, Shown> {
  /** Unique, and what the listing is sorted by. */
  readonly keyOf: (item: T) => string;
  readonly show: (item: T) => Shown;
  /** Encoded, bytes. */
  readonly sizeOf: (shown: Shown) => number;
}

/**
 * A page of a listing in the order of its keys, bounded in number and in bytes; the token is the last key given. One item
 * is always on it, so that every listing comes to its end.
 */
export function pageOf<T, Shown>(
  items: readonly T[],
  { keyOf, show, sizeOf }: Listing<T, Shown>,
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
): { readonly items: readonly Shown[]; readonly nextPageToken: string } {
  const size = Math.min(pageSize === 0 ? usualPageSize : pageSize, largestPageSize);
  const sorted = items
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => pageToken === '' || key > pageToken)
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const candidates = sorted.slice(0, size).map(({ item }) => item);
  const [page = []] = batchesBySize(shownOf(candidates, show), sizeOf, mostPageBytes);
  return {
    items: page,
    nextPageToken: sorted.length > page.length ? (sorted[page.length - 1]?.key ?? '') : '',
  };
}

/** Shows no more of them than are looked at. */
function* shownOf<T, Shown>(items: readonly T[], show: (item: T) => Shown): Generator<Shown> {
  for (const item of items) yield show(item);
}

/** The items in their order, in batches of at most so many bytes; one that is larger is a batch of its own. */
export function* batchesBySize<T>(
  items: Iterable<T>,
  sizeOf: (item: T) => number,
  mostBytes: number,
): Generator<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = sizeOf(item);
    if (batch.length > 0 && bytes + size > mostBytes) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
