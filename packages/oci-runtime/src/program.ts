import { loadNative } from '@gantry/spawner/runtime';
import { readWords, type Given } from './command-line.js';
import { failure, messageOf, VerbFailure } from './failure.js';
import { openLog, type RuntimeLog } from './log.js';
import { globalOptions, isVerb, verbs, type VerbName, type VerbWords } from './options.js';
import { print } from './print.js';
import { Runtime, readCgroupManager, stateRoot } from './runtime.js';
import { versionText } from './version.js';

/** What a verb is run with. */
export interface Call {
  readonly runtime: Runtime;
  readonly given: Given;
  readonly words: readonly string[];
}

/** The exit code. */
export type Verb = (call: Call) => number | Promise<number>;

/** Only the verb asked for is evaluated. */
async function loadVerb(name: VerbName): Promise<Verb> {
  switch (name) {
    case 'create':
      return (await import('./verbs/create.js')).create;
    case 'start':
      return (await import('./verbs/start.js')).start;
    case 'run':
      return (await import('./verbs/run.js')).run;
    case 'exec':
      return (await import('./verbs/exec.js')).exec;
    case 'kill':
      return (await import('./verbs/kill.js')).kill;
    case 'delete':
      return (await import('./verbs/delete.js')).remove;
    case 'state':
      return (await import('./verbs/state.js')).state;
    case 'list':
      return (await import('./verbs/list.js')).list;
    case 'ps':
      return (await import('./verbs/ps.js')).ps;
    case 'pause':
      return (await import('./verbs/pause.js')).pause;
    case 'resume':
      return (await import('./verbs/pause.js')).resume;
    case 'update':
      return (await import('./verbs/update.js')).update;
    case 'events':
      return (await import('./verbs/events.js')).events;
    case 'features':
      return (await import('./verbs/features.js')).features;
    case 'spec':
      return (await import('./verbs/spec.js')).spec;
  }
}

function checkWords(name: VerbName, words: readonly string[]): void {
  const { words: bounds, usage }: VerbWords = verbs[name];
  const [fewest, most] = bounds;
  if (words.length < fewest || words.length > most)
    failure(`gantry-oci ${name}: ${words.length} arguments given, expected: ${usage || 'none'}`);
}

async function runVerb(
  global: Given,
  name: VerbName,
  rest: readonly string[],
  log: RuntimeLog,
): Promise<number> {
  const table: VerbWords = verbs[name];
  const { given, words } = readWords(rest, table.options, table.inOrder === true);
  if (given.flag('help')) {
    print((await import('./help.js')).verbHelp(name));
    return 0;
  }
  checkWords(name, words);
  const runtime = new Runtime({
    root: stateRoot(global.text('root'), process.env),
    manager: readCgroupManager(global.text('cgroup-manager'), global.flag('systemd-cgroup')),
    rootless:
      global.text('rootless') === 'true' ||
      ((global.text('rootless') ?? 'auto') === 'auto' && process.geteuid?.() !== 0),
    log,
  });
  log.debug(`${name} ${words.join(' ')}`);
  const verb = await loadVerb(name);
  return verb({ runtime, given, words });
}

/** Runs one command line to its end; never throws. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let log = openLog(undefined, undefined, false, undefined);
  let failureCode = 1;
  try {
    const { given, words } = readWords(argv, globalOptions, true);
    const [name, ...rest] = words;
    if (given.flag('version')) {
      print(versionText());
      return 0;
    }
    if (name === undefined || given.flag('help') || name === 'help') {
      print((await import('./help.js')).programHelp());
      return 0;
    }
    log = openLog(given.text('log'), given.text('log-format'), given.flag('debug'), given.text('log-level'));
    if (!isVerb(name)) failure(`No help topic for '${name}': gantry-oci --help shows the verbs`);
    const table: VerbWords = verbs[name];
    failureCode = table.failureCode ?? 1;
    return await runVerb(given, name, rest, log);
  } catch (error) {
    log.fail(error instanceof VerbFailure ? error.message : describeUnexpected(error));
    return error instanceof VerbFailure && error.exitCode !== 1 ? error.exitCode : failureCode;
  }
}

/** Ends the process: all that was written was written synchronously, and a socket that is still open must not keep us. */
export function leave(code: number): never {
  try {
    loadNative().exitNow(code);
  } catch {
    // Without the add-on: some verbs need none.
  }
  process.exit(code);
}

/** What nobody thought of: with the place, for whoever has to mend it. */
function describeUnexpected(error: unknown): string {
  return error instanceof Error && process.env.GANTRY_OCI_TRACE !== undefined
    ? (error.stack ?? error.message)
    : messageOf(error);
}
