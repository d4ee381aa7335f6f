import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { busyboxLayer, type ImageSource, type TarEntry } from '@gantry/demo';

const payload = fileURLToPath(new URL('../../../build/native/gantry-test-payload', import.meta.url));

/** Reference of the image that most tests run. */
export const testImage = 'test.gantry/box:1';

const layers = (): TarEntry[][] => [
  busyboxLayer(),
  [
    { path: 'bin/payload', kind: 'file', content: readFileSync(payload), mode: 0o755 },
    { path: 'data/', kind: 'directory' },
    { path: 'data/seed', kind: 'file', content: 'from the image\n', uid: 1000 },
    { path: 'www/', kind: 'directory' },
    { path: 'www/index.html', kind: 'file', content: 'page of the test image\n' },
    { path: 'bin/setuid-id', kind: 'file', content: readFileSync(payload), mode: 0o4755 },
  ],
];

/** busybox, the payload and a few files. */
export const boxImage = (): ImageSource => ({
  reference: testImage,
  layers: layers(),
  defaults: { Cmd: ['sh'], Env: ['PATH=/bin:/usr/bin', 'FROM_IMAGE=yes'], Labels: { 'test.image': 'box' } },
});

/** The same with an entrypoint, a user, a directory, a volume, a health check. */
export const fullImage = (): ImageSource => ({
  reference: 'test.gantry/full:1',
  layers: layers(),
  defaults: {
    Entrypoint: ['/bin/payload'],
    Cmd: ['facts'],
    Env: ['PATH=/bin:/usr/bin'],
    User: 'gantry',
    WorkingDir: '/data',
    Volumes: { '/data': {} },
    ExposedPorts: { '80/tcp': {} },
    StopSignal: 'SIGUSR1',
  },
});

/** "name=value" lines of the payload. */
export function parseFacts(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}
