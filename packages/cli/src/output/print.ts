/** Lines for people and programs. Standard output is for answers, standard error for everything else. */
export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Waits when the reader is slower than we are. */
export async function writeBytes(stream: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> {
  if (stream.write(bytes)) return;
  await new Promise<void>((resolve) => stream.once('drain', resolve));
}

/** Waits until the reader has all that was written: process.exit() would throw the rest away. */
export async function finishWriting(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableLength > 0) await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
}

/** A reader that has left (`gantry logs x | head`) ends the command as SIGPIPE ends others, without a word. */
export function endWhenNobodyReads(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? 141 : 1);
    });
}
