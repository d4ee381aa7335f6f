/** Where the time of a start goes: medians, milliseconds. */
export interface StageTable {
  readonly names: readonly string[];
  /** The bundle that crun and runc run too. */
  readonly bundle: readonly number[];
  /** A default container of a node. */
  readonly whole: readonly number[];
  readonly floor: number;
}

const inMicroseconds = (milliseconds: number): string => `${(milliseconds * 1000).toFixed(0)} µs`;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

export function formatStages({ names, bundle, whole, floor }: StageTable): string[] {
  const lines = [
    ['stage', 'the bundle', 'a default container'],
    ...names.map((name, index) => [
      name,
      inMicroseconds(bundle[index] ?? Number.NaN),
      inMicroseconds(whole[index] ?? Number.NaN),
    ]),
    ['all of them', inMicroseconds(sum(bundle)), inMicroseconds(sum(whole))],
    ['kernel floor', inMicroseconds(floor), ''],
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const join = (line: readonly string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = lines;
  return [join(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(join)];
}
