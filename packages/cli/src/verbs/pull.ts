import { createReadStream, statSync } from 'node:fs';
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import type { Image, ProgressLine } from '../client/types.js';
import type { Context } from '../context.js';
import { UsageFailure } from '../failures.js';
import { describeErrno } from '../flags/pairs.js';
import { print } from '../output/print.js';
import { createProgress } from '../output/progress.js';
import { tarOfDirectory } from '../output/tar.js';

interface PullRequest {
  readonly reference: string;
  readonly platform: string;
  readonly policy: string;
}

export function configurePull(command: Command, context: () => Context): void {
  command
    .argument('<image>')
    .usage('[flags] IMAGE[:TAG|@DIGEST]')
    .option('-q, --quiet', 'no progress')
    .option('--platform <os/arch>', "platform instead of this node's")
    .action(async (reference: string, flags: { quiet?: boolean; platform?: string }) => {
      const { client } = context();
      const request = { reference, platform: flags.platform ?? '', policy: 'always' };
      const image = await pullImage(client, request, process.stdout, flags.quiet === true);
      print(
        flags.quiet === true
          ? (image?.references[0] ?? reference)
          : `pulled ${image?.references[0] ?? reference}`,
      );
    });
}

/** Pulls with progress. Ctrl-C ends the pull: nobody else waits for it. */
export async function pullImage(
  client: Client,
  request: PullRequest,
  stream: NodeJS.WriteStream,
  quiet: boolean,
): Promise<Image | undefined> {
  const [image] = await followProgress(
    await client.lines<ProgressLine>('POST', '/v1/images/pull', { json: request }),
    stream,
    quiet,
  );
  return image;
}

async function followProgress(
  lines: AsyncIterable<ProgressLine>,
  stream: NodeJS.WriteStream,
  quiet: boolean,
): Promise<Image[]> {
  const progress = createProgress(stream, quiet);
  const images: Image[] = [];
  try {
    for await (const { layer, image } of lines) {
      if (layer !== undefined) progress.show(layer);
      if (image !== undefined) images.push(image);
    }
  } finally {
    progress.finish();
  }
  return images;
}

export function configureLoad(command: Command, context: () => Context): void {
  command
    .usage('[flags]')
    .option('-i, --input <file>', 'archive or OCI layout directory; standard input when absent')
    .option('-q, --quiet', 'no progress')
    .action(async (flags: { input?: string; quiet?: boolean }) => {
      const { client } = context();
      const source = openSource(flags.input);
      const lines = await client.upload<ProgressLine>('/v1/images/load', source, 'application/x-tar');
      const images = await followProgress(lines, process.stderr, flags.quiet === true);
      if (images.length === 0) throw new UsageFailure(`${flags.input ?? 'standard input'} held no image`);
      for (const { id, references } of images)
        for (const line of references.length > 0
          ? references.map((one) => `Loaded image: ${one}`)
          : [`Loaded image ID: ${id}`])
          print(line);
    });
}

function openSource(path: string | undefined): AsyncIterable<Uint8Array> {
  if (path === undefined || path === '-') {
    if (process.stdin.isTTY)
      throw new UsageFailure('standard input is a terminal: give an archive with -i FILE, or pipe one in');
    return process.stdin;
  }
  try {
    if (statSync(path).isDirectory()) return tarOfDirectory(path);
  } catch (error) {
    throw new UsageFailure(`--input: ${path} cannot be read: ${describeErrno(error)}`);
  }
  return createReadStream(path, { highWaterMark: 1 << 20 });
}
