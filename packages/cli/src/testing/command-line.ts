import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../main.js', import.meta.url));
// The api is another floor's: run as a program, never imported.
const scriptedNode = fileURLToPath(
  new URL('../../../api/dist/testing/serve-scripted-node.js', import.meta.url),
);

export interface Finished {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ScriptedNode {
  readonly runDirectory: string;
  /** The api alone goes away and comes back. */
  restartApi(): void;
  stop(): Promise<void>;
}

/** A real api over a real bus, whose node agent follows a script. */
export async function startScriptedNode(): Promise<ScriptedNode> {
  const child = spawn(process.execPath, [scriptedNode], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [line] = (await Promise.race([once(child.stdout, 'data'), exited.then(() => [undefined])])) as [
    Buffer | undefined,
  ];
  if (line === undefined) throw new Error('the scripted node did not start');
  return {
    runDirectory: line.toString().trim(),
    restartApi: () => void child.stdin.write('restart\n'),
    stop: async () => {
      child.stdin.end();
      await exited;
    },
  };
}

/** Words that start `gantry` in another program, for instance script(1). */
export const gantryWords = (words: readonly string[]): string[] => [process.execPath, main, ...words];

export class GantryUnderTest {
  readonly #runDirectory: string;

  constructor(runDirectory: string) {
    this.#runDirectory = runDirectory;
  }

  get environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      GANTRY_RUN_DIR: this.#runDirectory,
      GANTRY_HOST: undefined,
      GANTRY_CONTEXT: undefined,
    };
  }

  /** Starts it; input, output and signals are the test's. */
  start(
    words: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): ChildProcessWithoutNullStreams & { readonly finished: Promise<Finished> } {
    const child = spawn(process.execPath, [main, ...words], {
      stdio: 'pipe',
      env: { ...this.environment, ...environment },
    });
    return Object.assign(child, { finished: collect(child) });
  }

  async run(words: readonly string[], input?: string): Promise<Finished> {
    const child = this.start(words);
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    return child.finished;
  }

  /** With a terminal of its own, by script(1). `typed` is typed after `prompt` was seen. */
  async runOnTerminal(
    words: readonly string[],
    typed: string,
    prompt: string,
    extra = '',
  ): Promise<Finished> {
    const command = `stty rows 33 cols 77; ${gantryWords(words)
      .map((word) => `'${word}'`)
      .join(' ')}${extra}`;
    const child = spawn('script', ['-qefc', command, '/dev/null'], { stdio: 'pipe', env: this.environment });
    const finished = collect(child);
    let seen = '';
    let sent = false;
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (sent || !seen.includes(prompt)) return;
      sent = true;
      child.stdin.write(typed);
    });
    const result = await finished;
    child.stdin.destroy();
    return result;
  }
}

async function collect(child: ChildProcess): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, stdout, stderr };
}
