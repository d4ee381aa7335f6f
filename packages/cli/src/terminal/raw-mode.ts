import { spawnSync } from 'node:child_process';

/**
 * Hands every key to the process inside. The terminal is given back on every way out: by the returned function, at
 * exit, after a crash, and when a signal ends us.
 */
export function enterRawMode(): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  stdin.setRawMode(true);
  // Node leaves line feeds to be turned into carriage return and line feed; the terminal inside has done so where its
  // program wants it. What Node has saved brings this back too.
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  let raw = true;
  const restore = (): void => {
    if (!raw) return;
    raw = false;
    stdin.setRawMode(false);
    process.off('exit', restore);
    for (const [signal, onSignal] of endings) process.off(signal, onSignal);
  };
  const endings = (
    [
      ['SIGTERM', 143],
      ['SIGHUP', 129],
      ['SIGINT', 130],
      ['SIGQUIT', 131],
    ] as const
  ).map(
    ([signal, exitCode]) =>
      [
        signal,
        (): void => {
          restore();
          process.exit(exitCode);
        },
      ] as const,
  );
  process.on('exit', restore);
  for (const [signal, onSignal] of endings) process.on(signal, onSignal);
  return restore;
}
