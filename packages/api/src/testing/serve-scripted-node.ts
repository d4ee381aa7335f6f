import { startScriptedNode } from './scripted-node.js';

/**
 * A scripted node as a process of its own, for tests that may not import this package: prints its run directory when
 * it answers and lives until its standard input ends. A line on its standard input restarts the api.
 */
const running = await startScriptedNode();
process.stdout.write(`${running.runDirectory}\n`);
process.stdin.on('data', () => void running.restartApi());
process.stdin.once('end', () => void running.stop().then(() => process.exit(0)));
