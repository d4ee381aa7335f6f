import { EventEmitter, once } from 'node:events';
import { GantryError, type Init, type node } from '@gantry/protocol';

export interface Output {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
  readonly timeUnixNanos: number;
}

type Spec = Init<node.ContainerSpec>;

/** A container that only pretends: its program is a word of the command, see `run`. */
export class ScriptedContainer extends EventEmitter {
  readonly id: string;
  name: string;
  readonly spec: Spec;
  readonly created = Date.now();
  state: 'created' | 'running' | 'paused' | 'exited' = 'created';
  exitCode = 0;
  readonly outputs: Output[] = [];
  readonly received: Buffer[] = [];
  readonly signals: string[] = [];
  readonly sizes: string[] = [];
  removed = false;

  constructor(id: string, name: string, spec: Spec) {
    super();
    this.setMaxListeners(0);
    this.id = id;
    this.name = name;
    this.spec = spec;
  }

  write(stream: 'stdout' | 'stderr', data: string | Buffer): void {
    const output = {
      stream,
      data: typeof data === 'string' ? Buffer.from(data) : data,
      timeUnixNanos: Date.now() * 1e6,
    };
    this.outputs.push(output);
    this.emit('output', output);
  }

  /** Programs: echo, both, fail N, cat, sleep, flood N, size, ticks N, absent, forbidden. */
  start(): void {
    const [program = 'sleep', ...words] = this.spec.command ?? [];
    if (program === 'absent')
      throw new GantryError({
        code: 'failed_precondition',
        operation: 'StartContainer',
        object: program,
        message: 'exec absent: no such file or directory',
      });
    if (program === 'forbidden')
      throw new GantryError({
        code: 'permission_denied',
        operation: 'StartContainer',
        object: program,
        message: 'exec forbidden: permission denied',
      });
    this.state = 'running';
    this.run(program, words);
  }

  run(program: string, words: readonly string[]): void {
    switch (program) {
      case 'echo':
        this.write('stdout', `${words.join(' ')}\n`);
        this.end(0);
        return;
      case 'both':
        this.write('stdout', 'out\n');
        this.write('stderr', 'err\n');
        this.end(0);
        return;
      case 'fail':
        this.end(Number(words[0]));
        return;
      case 'flood': {
        const chunk = Buffer.alloc(64 * 1024, 'x');
        for (let count = 0; count < Number(words[0]) * 16; count += 1) this.write('stdout', chunk);
        this.end(0);
        return;
      }
      case 'size':
        this.write('stdout', `${this.sizes.join(' ')}\n`);
        this.end(0);
        return;
      case 'ticks': {
        let count = 0;
        const timer = setInterval(() => {
          count += 1;
          this.write('stdout', `tick ${count}\n`);
          if (count < Number(words[0])) return;
          clearInterval(timer);
          this.end(5);
        }, 50);
        return;
      }
      case 'cat':
        this.on('stdin', (data: Buffer) => this.write('stdout', data));
        this.once('eof', () => this.end(0));
        return;
      default:
        this.write('stdout', 'ready\n');
    }
  }

  signal(name: string): void {
    this.signals.push(name);
    this.emit('signal', name);
    if (name === 'SIGUSR1') this.write('stdout', 'usr1\n');
    else this.end(128 + (numbers[name] ?? 9));
  }

  end(exitCode: number): void {
    if (this.state === 'exited') return;
    this.state = 'exited';
    this.exitCode = exitCode;
    this.emit('exit', exitCode);
  }

  async whenExited(signal: AbortSignal): Promise<number> {
    if (this.state !== 'exited') await once(this, 'exit', { signal });
    return this.exitCode;
  }
}

const numbers: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15, KILL: 9 };
