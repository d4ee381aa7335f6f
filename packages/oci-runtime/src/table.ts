/** Columns as wide as their widest cell, at least as wide as runc's. */
export function table(rows: readonly (readonly string[])[]): string {
  const least = 12;
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(least, ...rows.map((row) => (row[column] ?? '').length + 1)),
  );
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}
