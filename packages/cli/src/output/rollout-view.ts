import type { control } from '@gantry/protocol';
import { ellipsis } from './human.js';
import { formatTable } from './table.js';

type Progress = control.ServiceProgress;

/** Shows services on their way: a table that is drawn again on a terminal, a line a change elsewhere. */
export interface RolloutView {
  show(services: readonly Progress[]): void;
  /** Leaves what was drawn and goes on below it. */
  finish(): void;
}

export function createRolloutView(stream: NodeJS.WriteStream): RolloutView {
  return stream.isTTY ? new DrawnTable(stream) : new Lines(stream);
}

const updateWords: Readonly<Record<string, string>> = {
  updating: 'updating',
  paused: 'paused',
  completed: '',
  rolling_back: 'rolling back',
  rolled_back: 'rolled back',
};

const titleOf = ({ stack, name }: Progress): string => (stack === '' ? name : `${stack}_${name}`);

function stateOf({ running, runningOld, wanted, updateStatus }: Progress): string {
  const update = updateStatus?.state ?? '';
  const said = updateWords[update] ?? update;
  if (said !== '') return said;
  return running === wanted && runningOld === 0 ? 'running' : 'starting';
}

const reasonOf = ({ problems, updateStatus }: Progress): string =>
  [...new Set([updateStatus?.message ?? '', ...problems])].filter((text) => text !== '').join('; ');

function describe(one: Progress): string {
  const old = one.runningOld === 0 ? '' : `, ${one.runningOld} of the version before`;
  const reason = reasonOf(one);
  return `${titleOf(one)}: ${one.running}/${one.wanted} running${old}, ${stateOf(one)}${reason === '' ? '' : `: ${reason}`}`;
}

class Lines implements RolloutView {
  readonly #stream: NodeJS.WriteStream;
  readonly #shown = new Map<string, string>();

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(services: readonly Progress[]): void {
    for (const one of services) {
      const line = describe(one);
      if (this.#shown.get(one.serviceId) === line) continue;
      this.#shown.set(one.serviceId, line);
      this.#stream.write(`${line}\n`);
    }
  }

  finish(): void {
    this.#shown.clear();
  }
}

class DrawnTable implements RolloutView {
  readonly #stream: NodeJS.WriteStream;
  #drawnLines = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(services: readonly Progress[]): void {
    const columns = this.#stream.columns || 80;
    const rows = services.map((one) => [
      titleOf(one),
      `${one.running}/${one.wanted}`,
      one.runningOld === 0 ? '' : String(one.runningOld),
      stateOf(one),
      reasonOf(one),
    ]);
    // A line that wraps, or more lines than the terminal has, could not be drawn again in place.
    const lines = formatTable([['SERVICE', 'RUNNING', 'OLD', 'STATE', ''], ...rows])
      .split('\n')
      .slice(0, Math.max(2, (this.#stream.rows || 24) - 2))
      .map((line) => ellipsis(line.trimEnd(), columns));
    const up = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A` : '';
    const surplus = Math.max(0, this.#drawnLines - lines.length);
    this.#stream.write(
      `${up}${[...lines, ...Array<string>(surplus).fill('')].map((line) => `\r\x1b[K${line}\n`).join('')}`,
    );
    this.#drawnLines = lines.length + surplus;
  }

  finish(): void {
    this.#drawnLines = 0;
  }
}
