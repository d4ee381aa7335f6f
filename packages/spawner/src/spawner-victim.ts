// Test program: a spawner in a process of its own, made to be killed.
import { spawn } from '@gantry/protocol';
import { pino } from 'pino';
import { loadNative } from './native.js';
import { Spawner } from './spawner.js';

const spawner = new Spawner({
  runDirectory: process.argv[2] ?? '',
  native: loadNative(),
  logger: pino({ level: 'silent' }),
  onExit: () => {},
  onLogLoss: () => {},
});
await spawner.adopt();
process.on('message', (bytes: Uint8Array) => {
  void spawner
    .start(spawn.StartContainerRequestCodec.decode(bytes))
    .then(({ main }) => process.send?.({ pid: main.start.pid }));
});
process.send?.('ready');
