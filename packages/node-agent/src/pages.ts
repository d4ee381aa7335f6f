const LARGEST_PAGE = 200;

/** One page of a list, after the item whose key the token holds. A key that has gone since ends the list. */
export function pageOf<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
): { readonly items: readonly T[]; readonly nextPageToken: string } {
  const size = Math.min(pageSize > 0 ? pageSize : LARGEST_PAGE, LARGEST_PAGE);
  const at = pageToken === '' ? -1 : all.findIndex((item) => keyOf(item) === pageToken);
  if (pageToken !== '' && at < 0) return { items: [], nextPageToken: '' };
  const items = all.slice(at + 1, at + 1 + size);
  const last = items.at(-1);
  return { items, nextPageToken: last !== undefined && at + 1 + size < all.length ? keyOf(last) : '' };
}
