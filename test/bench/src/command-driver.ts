// Runs commands so many at a time, inside a peer's world: one JSON document in (argument), one out. No pipe is given to them, since
// what they leave running would hold it open.
import { spawn } from 'node:child_process';

export interface CommandTask {
  readonly commands: readonly (readonly string[])[];
  readonly parallel: number;
}

export interface CommandAnswer {
  /** Milliseconds until the last has ended. */
  readonly total: number;
  /** Milliseconds of each. */
  readonly samples: readonly number[];
  /** Commands that did not end with 0. */
  readonly failed: number;
}

function run([program = '', ...words]: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: 'ignore', timeout: 60_000, killSignal: 'SIGKILL' });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function answer({ commands, parallel }: CommandTask): Promise<CommandAnswer> {
  const queue = [...commands];
  const samples: number[] = [];
  let failed = 0;
  const began = performance.now();
  const callers = Array.from({ length: parallel }, async () => {
    for (let command = queue.shift(); command !== undefined; command = queue.shift()) {
      const started = performance.now();
      if (!(await run(command))) failed += 1;
      samples.push(performance.now() - started);
    }
  });
  await Promise.all(callers);
  return { total: performance.now() - began, samples, failed };
}

process.stdout.write(JSON.stringify(await answer(JSON.parse(process.argv[2] ?? '') as CommandTask)));
