import type { Init } from '@gantry/protocol';
import type { node, spawn } from '@gantry/protocol';

interface InputStream {
  send(message: Init<spawn.AttachInput>): Promise<void>;
}

/** What of a process an attach is about. */
export interface ProcessName {
  readonly containerId: string;
  /** Empty: the container's own. */
  readonly execId: string;
}

function toSpawner(input: node.AttachInput, name: ProcessName): Init<spawn.AttachInput> | undefined {
  if (input.stdin !== undefined) return { stdin: input.stdin };
  if (input.stdinEof !== undefined) return { stdinEof: input.stdinEof };
  if (input.resize === undefined) return undefined;
  const { rows, columns } = input.resize;
  return { resize: { ...name, rows, columns } };
}

/**
 * Hands on what one client types, for as long as it is attached. When the stream to the process has to be opened again
 * (the spawner was restarted), what could not be delivered goes down the new one: no input is lost or doubled.
 */
export class InputPump {
  readonly #inputs: AsyncIterator<node.AttachInput>;
  readonly #name: ProcessName;
  #stream: InputStream | undefined;
  #wake: (() => void) | undefined;
  #started = false;

  constructor(inputs: AsyncIterator<node.AttachInput>, name: ProcessName) {
    this.#inputs = inputs;
    this.#name = name;
  }

  /** From now on this is where input goes. */
  flowInto(stream: InputStream): void {
    this.#stream = stream;
    this.#wake?.();
    if (this.#started) return;
    this.#started = true;
    // A client that leaves ends its inputs with an error; the output side tells why.
    void this.#run().catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (let next = await this.#inputs.next(); next.done !== true; next = await this.#inputs.next()) {
      const message = toSpawner(next.value, this.#name);
      if (message !== undefined) await this.#deliver(message);
    }
  }

  async #deliver(message: Init<spawn.AttachInput>): Promise<void> {
    for (;;) {
      const stream = this.#stream;
      try {
        await stream?.send(message);
        return;
      } catch {
        // Nothing but another stream helps; when none comes, nobody waits for us.
        while (this.#stream === stream) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}
