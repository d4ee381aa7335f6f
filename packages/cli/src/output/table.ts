import { print } from './print.js';

/** Columns as wide as their widest cell, three blanks between, as docker's. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, [...cell].length);
  return rows
    .map((row) =>
      row
        .map((cell, index) =>
          index === row.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - [...cell].length),
        )
        .join('   '),
    )
    .join('\n');
}

/** One listing: every item's fields under docker's names, and which of them stand in the table. */
export interface Listing {
  /** Title and field of each column. */
  readonly columns: readonly (readonly [title: string, field: string])[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

interface ListingOptions {
  readonly format?: string | undefined;
  readonly noTitles?: boolean;
  /** Only this field of each row, unless a format is asked for. */
  readonly quiet?: string | false | undefined;
}

/** A table, or JSON one object a line, or a template's text one line a row. */
export async function printListing(
  { columns, rows }: Listing,
  { format: asked, quiet = false }: ListingOptions = {},
): Promise<void> {
  const format = asked ?? 'table';
  if (quiet !== false && asked === undefined) {
    for (const row of rows) print(textOf(row[quiet]));
    return;
  }
  if (format === 'json' || format === '{{json .}}') {
    for (const row of rows) print(JSON.stringify(row));
    return;
  }
  if (format === 'table' || format === '') {
    print(
      formatTable([
        columns.map(([title]) => title),
        ...rows.map((row) => columns.map(([, field]) => textOf(row[field]))),
      ]),
    );
    return;
  }
  const { compileTemplate, listingRow } = await import('./template.js');
  const wantsTable = /^table\s/.test(format);
  const template = compileTemplate(wantsTable ? format.replace(/^table\s+/, '') : format);
  const marked = rows.map((row) =>
    Object.defineProperty({ ...row }, listingRow, { value: true, enumerable: false }),
  );
  if (!wantsTable) {
    for (const row of marked) print(template(row));
    return;
  }
  const titles = new Proxy(
    {},
    {
      get: (_target, field) => columns.find(([, name]) => name === field)?.[0] ?? String(field).toUpperCase(),
      getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true }),
    },
  );
  const lines = [template(titles), ...marked.map((row) => template(row))];
  print(formatTable(lines.map((line) => line.split('\t'))));
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : String(value as number));
