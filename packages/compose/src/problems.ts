/** Where something stands: counted from 1, as editors do. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing wrong with a file, or (as a warning) one thing that its author should know. */
export interface Problem extends Place {
  /** "services.web.image"; empty when it concerns the file as a whole. */
  readonly key: string;
  /** Reads on after the key: "unknown key" or "is not a size (such as 64m)". */
  readonly message: string;
}

/** "compose.yaml:12:5: services.web.buid: unknown key (did you mean build?)". */
export function describeProblem({ file, line, column, key, message }: Problem): string {
  const joint = key === '' ? '' : /^(is|has|needs|names) /.test(message) ? `${key} ` : `${key}: `;
  return `${file}:${line}:${column}: ${joint}${message}`;
}

/** More are of use to nobody; a hostile file could have a hundred thousand. */
const maximumKept = 200;

/** What reading finds, collected so that everything is told at once. */
export class Findings {
  readonly #problems = new Map<string, Problem>();
  readonly #warnings = new Map<string, Problem>();
  readonly #order: ReadonlyMap<string, number>;
  #left = 0;

  /** Problems are sorted by file in this order, then by line. */
  constructor(files: readonly string[]) {
    this.#order = new Map(files.map((file, index) => [file, index]));
  }

  get failed(): boolean {
    return this.#problems.size > 0;
  }

  /** Says what is wrong; answers undefined so that a reader can return it in place of its value. */
  problem({ file, line, column }: Place, key: string, message: string): undefined {
    if (this.#problems.size >= maximumKept) this.#left += 1;
    else {
      const found = { file, line, column, key, message };
      this.#problems.set(describeProblem(found), found);
    }
  }

  warn({ file, line, column }: Place, key: string, message: string): void {
    const found = { file, line, column, key, message };
    if (this.#warnings.size < maximumKept) this.#warnings.set(describeProblem(found), found);
  }

  /** A warning of which the first place is enough, whatever the key. */
  warnOnce(place: Place, key: string, message: string): void {
    if (![...this.#warnings.values()].some((known) => known.message === message))
      this.warn(place, key, message);
  }

  get problems(): readonly Problem[] {
    const sorted = this.#sorted(this.#problems);
    const last = sorted.at(-1);
    if (this.#left === 0 || last === undefined) return sorted;
    return [...sorted, { ...last, key: '', message: `and ${this.#left} more problems` }];
  }

  get warnings(): readonly Problem[] {
    return this.#sorted(this.#warnings);
  }

  #sorted(found: ReadonlyMap<string, Problem>): Problem[] {
    const rank = ({ file }: Problem): number => this.#order.get(file) ?? this.#order.size;
    return [...found.values()].sort(
      (a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column || (a.key < b.key ? -1 : 1),
    );
  }
}
