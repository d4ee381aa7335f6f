import { readFileSync } from 'node:fs';
import { cgroupHandles, execCgroup, subCgroup, type RuntimeCgroup } from '@gantry/cgroup-supervisor/runtime';
import { parseLossless, type RuntimeProcess, type RuntimeSpec } from '@gantry/oci';
import { checkProcessShape, compileExec, DirectLauncher, readHostFacts } from '@gantry/spawner/runtime';
import { parseSpec, withUser } from '../bundle.js';
import type { Given } from '../command-line.js';
import type { ContainerRecord } from '../container-record.js';
import { statusOf } from '../container-status.js';
import { compileSeccomp, countPreserved, readConsoleSocket, readPidfdSocket } from '../creation.js';
import { execProcess } from '../exec-process.js';
import { failure, messageOf } from '../failure.js';
import { forwardSignals } from '../forwarding.js';
import { withListening } from '../listening.js';
import { writePidFile } from '../pid-file.js';
import type { Call } from '../program.js';
import { startWords } from '../start-words.js';

const launchTimeoutMs = 60_000;

/** Needs no lock: the process that it joins is compared with what the record says of it when it is joined. */
export async function exec({ runtime, given, words: [id = '', ...command] }: Call): Promise<number> {
  const { store, native } = runtime;
  const record = store.get(id);
  const status = statusOf(record, store);
  if (status === 'stopped' || status === 'creating') failure(`cannot exec in a ${status} container`);
  if (status === 'paused' && !given.flag('ignore-paused'))
    failure('cannot exec in a paused container (use --ignore-paused to override)');
  const spec = parseSpec(store.readConfig(id), 'config.json');
  const wanted = withListening(readProcess(spec, given, command), process.env, process.pid);
  const detach = given.flag('detach');
  const preservedDescriptors = countPreserved(given);
  const cgroup = placeFor(record, given.texts('cgroup'));
  const directory = store.directoryOf(id);
  const plan = compileExec({
    process: wanted,
    supervision: {
      kind: 'caller',
      awaitStart: false,
      detach,
      consoleSocket: readConsoleSocket(given, wanted.terminal === true, detach),
      pidfdSocket: readPidfdSocket(given),
      preservedDescriptors,
      noPivot: false,
      noNewKeyring: false,
      awaitPlacement: false,
    },
    directory,
    state: {
      ociVersion: spec.ociVersion,
      id,
      bundle: record.bundle,
      ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
    },
    target: {
      pid: record.pid,
      startTicks: BigInt(record.startTicks),
      namespaces: BigInt(record.namespaces),
    },
    cgroups: cgroup === undefined ? [] : cgroupHandles(cgroup),
    seccomp: compileSeccomp(runtime, spec),
    noNewPrivileges: wanted.noNewPrivileges === true,
    domain: spec.linux,
    host: readHostFacts(),
    warn: (sentence) => runtime.log.warn(sentence),
  });
  const result = await new DirectLauncher(native).launch({
    plan,
    directory,
    label: `${id} exec`,
    preservedDescriptors,
    timeoutMs: launchTimeoutMs,
  });
  if (!result.ok) failure(`exec failed: ${startWords(result.failure, spec)}`);
  const { process: started } = result;
  try {
    writePidFile(given.text('pid-file'), started.pid);
  } catch (error) {
    native.signalProcess(started.pid, started.startTicks, 9);
    throw error;
  }
  if (detach) return 0;
  const stop = forwardSignals(native, started.pid, started.startTicks);
  const { exitCode } = await started.ended();
  stop();
  return exitCode;
}

function placeFor({ cgroup, pid }: ContainerRecord, asked: readonly string[]): RuntimeCgroup | undefined {
  if (cgroup === undefined) return undefined;
  return asked.length > 0 ? subCgroup(cgroup, asked) : execCgroup(cgroup, pid);
}

function readProcess(spec: RuntimeSpec, given: Given, command: readonly string[]): RuntimeProcess {
  const file = given.text('process');
  if (file === undefined) {
    const own = spec.process ?? failure('the container’s configuration has no process');
    return execProcess(own, given, command);
  }
  let value: unknown;
  try {
    value = parseLossless(readFileSync(file, 'utf8'));
  } catch (error) {
    failure(`cannot read process ${file}: ${messageOf(error)}`);
  }
  if (typeof value !== 'object' || value === null) failure(`process ${file} is not a JSON object`);
  checkProcessShape(value);
  const wanted = withUser(value as RuntimeProcess);
  return given.flag('tty') ? { ...wanted, terminal: true } : wanted;
}
