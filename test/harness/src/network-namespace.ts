import { mustRun, runCommand, type CommandOptions, type CommandResult } from './command.js';

const fetchScript = `
  const response = await fetch(process.argv[1], { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(response.status + ' from ' + process.argv[1]);
  process.stdout.write(await response.text());
`;

/** A network namespace that stands for a whole machine's network: exact to look at, and to remove. */
export class NetworkNamespace {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async create(name: string): Promise<NetworkNamespace> {
    await runCommand('ip', ['netns', 'del', name]);
    await mustRun('ip', ['netns', 'add', name]);
    const namespace = new NetworkNamespace(name);
    await namespace.mustRun('ip', ['link', 'set', 'lo', 'up']);
    return namespace;
  }

  get path(): string {
    return `/run/netns/${this.name}`;
  }

  /** Words that run a program inside; nsenter becomes the program, so that the process number is the program's. */
  wrap(program: string, words: readonly string[]): readonly [string, readonly string[]] {
    // Not "ip netns exec": that mounts another /sys, without the cgroups.
    return ['nsenter', [`--net=${this.path}`, program, ...words]];
  }

  run(program: string, words: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return runCommand(...this.wrap(program, words), options);
  }

  mustRun(program: string, words: readonly string[], options?: CommandOptions): Promise<string> {
    return mustRun(...this.wrap(program, words), options);
  }

  /** Connects to another namespace by a cable with an address at each end. */
  async connect(other: NetworkNamespace, ours: string, theirs: string): Promise<void> {
    await this.mustRun('ip', [
      'link',
      'add',
      'outside0',
      'type',
      'veth',
      'peer',
      'name',
      'inside0',
      'netns',
      other.name,
    ]);
    await this.mustRun('ip', ['addr', 'add', ours, 'dev', 'outside0']);
    await this.mustRun('ip', ['link', 'set', 'outside0', 'up']);
    await other.mustRun('ip', ['addr', 'add', theirs, 'dev', 'inside0']);
    await other.mustRun('ip', ['link', 'set', 'inside0', 'up']);
  }

  /** The body that a URL gives inside; fails unless the answer is a good one. */
  async fetch(url: string): Promise<string> {
    return this.mustRun(process.execPath, ['--eval', fetchScript, url]);
  }

  async remove(): Promise<void> {
    await runCommand('ip', ['netns', 'del', this.name]);
  }
}
