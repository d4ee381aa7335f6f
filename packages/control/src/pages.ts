const usualPageSize = 100;
const largestPageSize = 200;

/** A page of a listing in the order of its keys, which are unique; the token is the last key given. */
export function pageOf<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
): { readonly items: readonly T[]; readonly nextPageToken: string } {
  const size = Math.min(pageSize === 0 ? usualPageSize : pageSize, largestPageSize);
  const sorted = items
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => pageToken === '' || key > pageToken)
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const page = sorted.slice(0, size);
  return {
    items: page.map(({ item }) => item),
    nextPageToken: sorted.length > size ? (page.at(-1)?.key ?? '') : '',
  };
}
