import type { Option } from './command-line.js';
import { globalOptions, verbs, type VerbName, type VerbWords } from './options.js';

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}

function optionRow({ name, short, value, help }: Option): readonly [string, string] {
  const letter = short === undefined ? '    ' : `-${short}, `;
  return [`${letter}--${name}${value === undefined ? '' : ` ${value}`}`, help];
}

/** `gantry-oci --help`. */
export function programHelp(): string {
  return [
    'gantry-oci: runs containers as the OCI runtime-spec describes them',
    '',
    'Usage: gantry-oci [options] verb [options] [words]',
    '',
    'Verbs:',
    columns(Object.entries(verbs).map(([name, { summary }]) => [name, summary])),
    '',
    'Options:',
    columns(globalOptions.map(optionRow)),
    '',
    'gantry-oci verb --help tells of one verb.',
    '',
  ].join('\n');
}

/** `gantry-oci VERB --help`. */
export function verbHelp(name: VerbName): string {
  const { summary, usage, options }: VerbWords = verbs[name];
  return [
    `gantry-oci ${name}: ${summary}`,
    '',
    `Usage: gantry-oci [options] ${name} [options] ${usage}`.trimEnd(),
    '',
    'Options:',
    columns(options.map(optionRow)),
    '',
  ].join('\n');
}
