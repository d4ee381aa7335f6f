import type { ProgressLine } from '../client/types.js';
import { humanSize, shortId } from './human.js';

type Layer = NonNullable<ProgressLine['layer']>;

/** Shows layers on their way: bars that are drawn again on a terminal, a line a change elsewhere. */
export interface Progress {
  show(layer: Layer): void;
  /** Leaves what was drawn and goes on below it. */
  finish(): void;
}

export function createProgress(stream: NodeJS.WriteStream, quiet: boolean): Progress {
  if (quiet) return { show: () => undefined, finish: () => undefined };
  return stream.isTTY ? new Bars(stream) : new Lines(stream);
}

const words: Readonly<Record<string, string>> = {
  waiting: 'Waiting',
  downloading: 'Downloading',
  extracting: 'Extracting',
  done: 'Complete',
  exists: 'Already exists',
};

class Lines implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #shown = new Map<string, string>();

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show({ digest, status }: Layer): void {
    if (this.#shown.get(digest) === status) return;
    this.#shown.set(digest, status);
    // What is under way is of no use to a log.
    if (status === 'done' || status === 'exists')
      this.#stream.write(`${shortId(digest)}: ${words[status] ?? status}\n`);
  }

  finish(): void {
    this.#shown.clear();
  }
}

const drawEveryMs = 50;
const barWidth = 30;

class Bars implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #layers = new Map<string, Layer>();
  #drawnLines = 0;
  #lastDrawn = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(layer: Layer): void {
    this.#layers.set(layer.digest, layer);
    const now = performance.now();
    if (now - this.#lastDrawn < drawEveryMs) return;
    this.#lastDrawn = now;
    this.#draw();
  }

  finish(): void {
    if (this.#layers.size > 0) this.#draw();
    this.#layers.clear();
    this.#drawnLines = 0;
  }

  #draw(): void {
    // More layers than the terminal has lines cannot be drawn again in place: the last ones are.
    const room = Math.max(1, (this.#stream.rows || 24) - 2);
    const layers = [...this.#layers.values()].slice(-room);
    const up = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A` : '';
    this.#stream.write(
      `${up}${layers.map((layer) => `\r\x1b[K${describeLayer(layer, this.#stream.columns)}\n`).join('')}`,
    );
    this.#drawnLines = layers.length;
  }
}

export function describeLayer({ digest, status, currentBytes, totalBytes }: Layer, columns = 80): string {
  const head = `${shortId(digest)}: ${words[status] ?? status}`;
  if (status !== 'downloading' && status !== 'extracting') return head;
  if (totalBytes === 0) return `${head} ${humanSize(currentBytes)}`;
  const share = Math.min(1, currentBytes / totalBytes);
  const filled = Math.round(share * barWidth);
  const bar =
    columns < 70
      ? ''
      : `[${'='.repeat(filled)}${filled < barWidth ? '>' : ''}${' '.repeat(Math.max(0, barWidth - filled - 1))}] `;
  return `${head} ${bar}${humanSize(currentBytes)}/${humanSize(totalBytes)}`;
}
