import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NetworkNamespace } from './network-namespace.js';
import { eventually } from './wait.js';

const deployed = fileURLToPath(new URL('../../../deploy/prometheus', import.meta.url));

/** One series of an answer at one moment. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ScrapeTarget {
  readonly labels: Readonly<Record<string, string>>;
  readonly scrapeUrl: string;
  readonly health: string;
  readonly lastError: string;
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface TestPrometheusOptions {
  /** Made anew, and removed by stop(). */
  readonly directory: string;
  /** Where it runs and scrapes from. */
  readonly network: NetworkNamespace;
  /** Text of prometheus.yml; paths in it are relative to `directory`. */
  readonly configuration: string;
  /** Further files, by their paths in `directory`. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Several requests by one process: a process for each would take a tenth of a second. */
const fetchAll = `
  let input = '';
  for await (const chunk of process.stdin) input += chunk;
  const answers = [];
  for (const url of JSON.parse(input)) {
    const response = await fetch(url, { signal: AbortSignal.timeout(20000) });
    answers.push(await response.json());
  }
  process.stdout.write(JSON.stringify(answers));
`;

const origin = 'http://127.0.0.1:9090';

/**
 * Debian's own prometheus with the rules of deploy/prometheus, in the network of the test. Alerts need not last: their
 * `for` is set to nothing, because a test has no five minutes; what "for" does is promtool's to test.
 */
export class TestPrometheus {
  readonly #network: NetworkNamespace;
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(options: TestPrometheusOptions, child: ChildProcess) {
    this.#network = options.network;
    this.#directory = options.directory;
    this.#process = child;
  }

  static async start(options: TestPrometheusOptions): Promise<TestPrometheus> {
    const { directory, network, configuration, files = {} } = options;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'prometheus.yml'), configuration);
    cpSync(join(deployed, 'rules'), join(directory, 'rules'), { recursive: true });
    for (const name of readdirSync(join(directory, 'rules'))) makeImpatient(join(directory, 'rules', name));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(directory, path, '..'), { recursive: true });
      writeFileSync(join(directory, path), content, { mode: 0o600 });
    }
    const log = openSync(join(directory, 'prometheus.log'), 'a');
    const [program, words] = network.wrap('prometheus', [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${origin.replace('http://', '')}`,
      '--web.enable-lifecycle',
      '--log.level=warn',
    ]);
    const child = spawn(program, words, { stdio: ['ignore', log, log], cwd: directory });
    closeSync(log);
    const prometheus = new TestPrometheus(options, child);
    try {
      await eventually('prometheus is ready', () => prometheus.#isReady(), 20_000);
      return prometheus;
    } catch (error) {
      const said = prometheus.readLog();
      await prometheus.stop();
      throw new Error(`prometheus did not start; it said:\n${said}`, { cause: error });
    }
  }

  async #isReady(): Promise<boolean> {
    if (this.#process.exitCode !== null) throw new Error(`prometheus ended: ${this.readLog()}`);
    return (await this.#network.fetch(`${origin}/-/ready`)) !== '';
  }

  async #ask<T>(paths: readonly string[]): Promise<readonly T[]> {
    const input = JSON.stringify(paths.map((path) => `${origin}/api/v1/${path}`));
    const words = ['--input-type=module', '--eval', fetchAll];
    const answers = JSON.parse(await this.#network.mustRun(process.execPath, words, { input })) as {
      status: string;
      error?: string;
      data: T;
    }[];
    return answers.map(({ status, error, data }, index) => {
      if (status !== 'success') throw new Error(`prometheus refuses ${paths[index]}: ${error}`);
      return data;
    });
  }

  /** The answers to several expressions, each a list of series; a scalar is one series without labels. */
  async query(expressions: readonly string[]): Promise<readonly (readonly Sample[])[]> {
    type Answer = { resultType: string; result: unknown };
    const answers = await this.#ask<Answer>(
      expressions.map((expression) => `query?query=${encodeURIComponent(expression)}`),
    );
    return answers.map(({ resultType, result }) =>
      resultType === 'scalar'
        ? [{ metric: {}, value: Number((result as [number, string])[1]) }]
        : (result as { metric: Record<string, string>; value: [number, string] }[]).map(
            ({ metric, value }) => ({ metric, value: Number(value[1]) }),
          ),
    );
  }

  async targets(): Promise<readonly ScrapeTarget[]> {
    const [answer] = await this.#ask<{ activeTargets: ScrapeTarget[] }>(['targets?state=active']);
    return answer?.activeTargets ?? [];
  }

  async alerts(): Promise<readonly Alert[]> {
    const [answer] = await this.#ask<{ alerts: Alert[] }>(['alerts']);
    return answer?.alerts ?? [];
  }

  /** Resolves when every service of this list, "<hostname>/<service>", is a target that is up, and no other is one. */
  async untilTargetsUp(instances: readonly string[], timeoutMs = 30_000): Promise<void> {
    const wanted = [...instances].sort();
    let seen = '';
    await eventually(
      `the targets are up: ${wanted.join(', ')}`,
      async () => {
        const targets = await this.targets();
        const found = targets.map(({ labels }) => labels['instance']).sort();
        const ill = targets.filter(({ health }) => health !== 'up');
        seen = ill.map(({ scrapeUrl, lastError }) => `${scrapeUrl}: ${lastError}`).join('\n');
        if (found.join() !== wanted.join())
          throw new Error(`the targets are ${found.join(', ')}; prometheus says:\n${this.readLog()}`);
        if (ill.length > 0) throw new Error(seen);
        return true;
      },
      timeoutMs,
    );
  }

  /** Resolves with the alert once one of this name and with these labels fires. */
  async untilFiring(
    name: string,
    labels: Readonly<Record<string, string>> = {},
    timeoutMs = 30_000,
  ): Promise<Alert> {
    const isMeant = (alert: Alert): boolean =>
      alert.state === 'firing' &&
      alert.labels['alertname'] === name &&
      Object.entries(labels).every(([label, value]) => alert.labels[label] === value);
    return eventually(`${name} fires`, async () => (await this.alerts()).find(isMeant), timeoutMs);
  }

  readLog(): string {
    try {
      return readFileSync(join(this.#directory, 'prometheus.log'), 'utf8').slice(-4000);
    } catch {
      return '';
    }
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function makeImpatient(file: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^( +for:) .*$/gm, '$1 0s'));
}

/** deploy/prometheus/prometheus.yml as it is, but for another control node's address and no time to wait. */
export function clusterConfiguration(controlAddresses: readonly string[]): string {
  const text = readFileSync(join(deployed, 'prometheus.yml'), 'utf8');
  const entry = /( +- url: https:\/\/)192\.0\.2\.11(:4330[^]*?)(?= +relabel_configs:)/;
  if (!entry.test(text)) throw new Error('prometheus.yml has no entry for a control node');
  return hurried(text).replace(entry, (_, before: string, after: string) =>
    controlAddresses.map((address) => `${before}${address}${after}`).join(''),
  );
}

/** The same configuration for targets that are known beforehand and need no token. */
export function staticConfiguration(
  targets: readonly { readonly address: string; readonly labels: Readonly<Record<string, string>> }[],
): string {
  const groups = targets.map(({ address, labels }) => ({ targets: [address], labels }));
  const text = readFileSync(join(deployed, 'prometheus.yml'), 'utf8');
  const discovery = /^ {4}authorization:[^]*?(?=^ {4}relabel_configs:)/m;
  if (!discovery.test(text)) throw new Error('prometheus.yml has no discovery');
  return hurried(text).replace(discovery, `    static_configs: ${JSON.stringify(groups)}\n`);
}

/** Everything once a second. */
function hurried(text: string): string {
  return text.replace(
    /^( +(?:scrape_interval|scrape_timeout|evaluation_interval|refresh_interval):) .*$/gm,
    '$1 1s',
  );
}
