import type { Command } from 'commander';
import { containerPath } from '../client/client.js';
import type { Context } from '../context.js';
import { print } from '../output/print.js';

interface Explanation {
  readonly sections: readonly { readonly title: string; readonly lines: readonly string[] }[];
}

export function configureExplain(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .usage('[flags] CONTAINER')
    .option('--format <format>', 'json instead of text')
    .action(async (name: string, { format }: { format?: string }) => {
      const explanation = await context().client.get<Explanation>(containerPath(name, '/explain'));
      if (format === 'json') print(JSON.stringify(explanation));
      else print(layOut(explanation));
    });
}

function layOut({ sections }: Explanation): string {
  const bold = (text: string): string => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
  return sections
    .map(({ title, lines }) => [bold(title), ...lines.map((line) => `  ${line}`)].join('\n'))
    .join('\n\n');
}
