import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Words that run a service as deploy/systemd does: with the capabilities that its unit leaves it and, where the unit says
 * so, without a way to new ones. So that whatever holds for a process of each service holds within these limits.
 */
export function unitLimits(service: string): readonly string[] {
  const path = fileURLToPath(new URL(`../../../deploy/systemd/gantry-${service}.service`, import.meta.url));
  const settings = new Map(
    readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const match = /^(\w+)=(.*)$/.exec(line);
        return match === null ? [] : [[match[1] ?? '', match[2] ?? '']];
      }),
  );
  const capabilities = settings.get('CapabilityBoundingSet');
  if (capabilities === undefined) throw new Error(`${path} says nothing of capabilities`);
  const kept = capabilities.split(' ').filter((name) => name !== '');
  const set = ['-all', ...kept.map((name) => `+${name.replace(/^CAP_/, '').toLowerCase()}`)].join(',');
  // setpriv becomes the program, so that the process number is the program's.
  return [
    'setpriv',
    `--bounding-set=${set}`,
    ...(settings.get('NoNewPrivileges') === 'yes' ? ['--no-new-privs'] : []),
  ];
}
