import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import type { Case } from '../case.js';
import { inUserNamespace } from '../spec.js';
import { payloadPath, processOf, type Subject } from '../subject.js';

/** Somebody who takes the terminal; what it says. */
export function takeConsole(t: Subject): {
  socket: string;
  said: () => string;
  write: (text: string) => void;
} {
  const socket = join(t.directory, 'console.sock');
  const agent = spawn(payloadPath, ['console-agent', socket], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  agent.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  agent.stdin.on('error', () => undefined);
  t.afterwards(() => agent.kill('SIGKILL'));
  return { socket, said: () => text, write: (line) => agent.stdin.write(line) };
}

async function onConsole(t: Subject, ...words: string[]): Promise<string> {
  const console = takeConsole(t);
  await eventually('the agent listens', () => console.said().includes('ready'));
  await t.create(words, ['--console-socket', console.socket]);
  await t.start();
  await t.statusIs('stopped');
  await eventually('the terminal was read', () => console.said().includes('done'), 5_000);
  return console.said();
}

export const terminalCases: readonly Case[] = [
  {
    title: 'a terminal goes to the console socket and has the size asked for',
    covers: [
      'process.terminal',
      'process.consoleSize',
      'process.consoleSize.height',
      'process.consoleSize.width',
      'create --console-socket',
    ],
    async judge(t) {
      processOf(t).terminal = true;
      processOf(t).consoleSize = { height: 33, width: 111 };
      const said = await onConsole(
        t,
        'sh',
        '-c',
        'test -t 0 && test -t 1 && test -t 2 && payload facts | grep size; echo done',
      );
      assert.match(said, /size=33x111\r?\n[^]*done/);
    },
  },
  {
    title: '/dev/console is the terminal, and it is the controlling one',
    covers: ['process.terminal', 'default device /dev/console'],
    async judge(t) {
      processOf(t).terminal = true;
      const said = await onConsole(
        t,
        'sh',
        '-c',
        'echo to-console >/dev/console; echo to-tty >/dev/tty; stat -c %F /dev/console; readlink /proc/self/fd/0; echo done',
      );
      assert.match(
        said,
        /to-console\r\n[^]*to-tty\r\n[^]*character special file\r\n[^]*(\/dev\/pts\/\d+|\/dev\/console)/,
      );
    },
  },
  {
    title: 'consoleSize without a terminal is ignored',
    covers: ['process.consoleSize'],
    async judge(t) {
      processOf(t).consoleSize = { height: 33, width: 111 };
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
  {
    title: 'create with a terminal and without a console socket is refused',
    covers: ['process.terminal', 'create --console-socket'],
    async judge(t) {
      processOf(t).terminal = true;
      t.writeSpec();
      const { code, stderr } = await t.ask(['create', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /console/i);
    },
  },
  {
    title: 'a terminal in a user namespace belongs to the user of the container',
    covers: ['process.terminal'],
    async judge(t) {
      inUserNamespace(t.spec);
      processOf(t).terminal = true;
      processOf(t).user = { uid: 1000, gid: 1000 };
      const said = await onConsole(
        t,
        'sh',
        '-c',
        'stat -L -c owner=%u /proc/self/fd/0; echo >/dev/tty && echo done',
      );
      assert.match(said, /owner=1000/);
    },
  },
];
