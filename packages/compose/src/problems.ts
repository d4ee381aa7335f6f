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

/** A message that begins so is a sentence about its key. */
const predicate = /^(?:is|has|needs|names|does|stands|publishes|mounts|says|can|begins|ends|orders) /;

/** "compose.yaml:12:5: services.web.buid: unknown key (did you mean build?)". */
export function describeProblem({ file, line, column, key, message }: Problem): string {
  const joint = key === '' ? '' : predicate.test(message) ? `${key} ` : `${key}: `;
  return `${file}:${line}:${column}: ${joint}${message}`;
}

/** More are of use to nobody; a hostile file could have a hundred thousand. */
const maximumKept = 200;

/** A value that is quoted may be as long as the file. */
const shorten = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most / 2)} ... ${text.slice(-most / 2)}` : text;

const found = ({ file, line, column }: Place, key: string, message: string): Problem => ({
  file,
  line,
  column,
  key: shorten(key, 200),
  message: shorten(message, 500),
});

/** What reading finds, collected so that everything is told at once. */
export class Findings {
  readonly #problems = new Map<string, Problem>();
  readonly #warnings = new Map<string, Problem>();
  readonly #unreadable = new Set<string>();
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
  problem(place: Place, key: string, message: string): undefined {
    if (this.#unreadable.has(describeProblem({ ...place, key, message: '' }))) return;
    if (this.#problems.size >= maximumKept) this.#left += 1;
    else {
      const problem = found(place, key, message);
      this.#problems.set(describeProblem(problem), problem);
    }
  }

  /** The same, of a value that nobody can judge further: what else is said of it is left out. */
  unreadable(place: Place, key: string, message: string): undefined {
    this.problem(place, key, message);
    this.#unreadable.add(describeProblem({ ...place, key, message: '' }));
  }

  warn(place: Place, key: string, message: string): void {
    const warning = found(place, key, message);
    if (this.#warnings.size < maximumKept) this.#warnings.set(describeProblem(warning), warning);
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

  #sorted(all: ReadonlyMap<string, Problem>): Problem[] {
    const rank = ({ file }: Problem): number => this.#order.get(file) ?? this.#order.size;
    return [...all.values()].sort(
      (a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column || (a.key < b.key ? -1 : 1),
    );
  }
}
