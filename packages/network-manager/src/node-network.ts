import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BridgeNetwork } from './bridge-network.js';
import type { NetworkSettings } from './config.js';
import { HostResolvers, asUpstream } from './dns-forward.js';
import { DnsServer, type DnsOutcome } from './dns-server.js';
import { Firewall } from './firewall.js';
import { createHostPortCheck } from './host-ports.js';
import { HostForwarding, procSettings } from './host-settings.js';
import { formatAddress, isInSubnet } from './ipv4.js';
import type { Kernel } from './kernel.js';
import { NameTable } from './names.js';
import { SandboxPool } from './pool.js';
import { PortTable } from './port-table.js';
import { planReconciliation, type ReconcilePlan } from './reconcile.js';
import { RecordStore, type SandboxRecord } from './records.js';
import { SandboxFactory } from './sandbox-factory.js';
import { SandboxManager, type SandboxSource } from './sandbox-manager.js';

/** The kernel's state is compared with ours this often. */
const checkEveryMs = 30_000;

/** Where the network tells what happens; every field is told, none is asked. */
export interface NetworkObserver {
  warn(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  attached(source: SandboxSource, seconds: number): void;
  drifted(count: number): void;
  dnsAnswered(outcome: DnsOutcome): void;
}

/** All of one node's network, without the bus. */
export class NodeNetwork {
  readonly settings: NetworkSettings;
  readonly factory: SandboxFactory;
  readonly pool: SandboxPool;
  readonly ports: PortTable;
  readonly names = new NameTable();
  readonly sandboxes: SandboxManager;
  readonly firewall: Firewall;
  readonly kernel: Kernel;
  readonly #bridge: BridgeNetwork;
  readonly #store: RecordStore;
  readonly #observer: NetworkObserver;
  readonly #bootId: string;
  #dns: DnsServer | undefined;
  #dnsFailure = '';
  #checking: Promise<string[]> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #tornDown = false;

  private constructor(settings: NetworkSettings, kernel: Kernel, observer: NetworkObserver) {
    const stateDirectory = join(settings.runDirectory, 'network');
    this.settings = settings;
    this.kernel = kernel;
    this.#observer = observer;
    this.#bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    this.#store = new RecordStore(join(stateDirectory, 'sandboxes'));
    const warn = observer.warn.bind(observer);
    this.factory = new SandboxFactory({
      kernel,
      settings,
      store: this.#store,
      bootId: this.#bootId,
      bridgeIndex: () => this.#bridge.index,
      warn,
    });
    this.pool = new SandboxPool(this.factory, settings.poolSize, warn);
    this.ports = new PortTable(settings.hostPorts, createHostPortCheck(kernel));
    this.firewall = new Firewall(kernel, settings.bridge);
    this.#bridge = new BridgeNetwork({
      kernel,
      settings,
      firewall: this.firewall,
      forwarding: new HostForwarding(procSettings, settings.bridge, stateDirectory, (name) =>
        name.startsWith(this.factory.linkPrefix),
      ),
      linkPrefix: this.factory.linkPrefix,
      linkGroup: this.factory.linkGroup,
      publishingInterfaces: () => this.sandboxes.publishingInterfaces(),
    });
    this.sandboxes = new SandboxManager({
      kernel,
      store: this.#store,
      factory: this.factory,
      pool: this.pool,
      firewall: this.firewall,
      ports: this.ports,
      names: this.names,
      repair: () => this.check(),
      warn,
      observeAttach: observer.attached.bind(observer),
    });
  }

  /** Brings the node's network up: makes what is missing, adopts what is held, sweeps what nobody knows. */
  static async start(
    settings: NetworkSettings,
    kernel: Kernel,
    observer: NetworkObserver,
  ): Promise<NodeNetwork> {
    const network = new NodeNetwork(settings, kernel, observer);
    await network.#bridge.setUp();
    await network.#reconcile();
    await network.#bridge.writeRules();
    await network.#startDns();
    network.pool.open();
    network.#timer = setInterval(() => void network.#checkQuietly(), checkEveryMs);
    network.#timer.unref();
    return network;
  }

  /** Resolvers that a container on the bridge should use. */
  get dnsServers(): readonly string[] {
    return this.#dns === undefined ? [] : [formatAddress(this.settings.subnet.gateway)];
  }

  /** What does not work here, as sentences. */
  get missing(): readonly string[] {
    return this.#dnsFailure === '' ? [] : [this.#dnsFailure];
  }

  /** Compares bridge, interfaces, forwarding and rules with the kernel and repairs them; answers what was wrong. */
  async check(): Promise<string[]> {
    this.#checking ??= this.#bridge.check().finally(() => {
      this.#checking = undefined;
    });
    const drift = await this.#checking;
    if (this.#dns === undefined) await this.#startDns();
    if (drift.length > 0) {
      this.#observer.drifted(drift.length);
      this.#observer.warn({ drift }, 'the kernel had lost what was set; it is set again');
    }
    return drift;
  }

  /** Leaves containers and the pool as they are. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#checking?.catch(() => undefined);
    await Promise.all([this.pool.close(), this.#dns?.stop()]);
    await this.factory.stop();
  }

  /** Empties the pool; without holders removes bridge, rules and settings too. True when all is gone. */
  async tearDown(): Promise<boolean> {
    await this.pool.drain();
    if (this.sandboxes.holderCount > 0) {
      await this.factory.settled();
      return false;
    }
    this.sandboxes.close();
    clearInterval(this.#timer);
    await this.#checking?.catch(() => undefined);
    await this.factory.settled();
    if (this.#tornDown) return true;
    this.#tornDown = true;
    await this.#dns?.stop();
    await this.#bridge.tearDown();
    await this.kernel.releaseDirectory(join(this.settings.runDirectory, 'sandboxes'));
    for (const name of ['sandboxes', 'network/sandboxes', 'network'])
      rmSync(join(this.settings.runDirectory, name), { recursive: true, force: true });
    return true;
  }

  async #reconcile(): Promise<void> {
    const { kernel, factory, settings } = this;
    const directory = join(settings.runDirectory, 'sandboxes');
    mkdirSync(directory, { recursive: true, mode: 0o711 });
    await kernel.shareDirectory(directory);
    const records = this.#store.load((name) =>
      this.#observer.warn({ file: name }, 'record of a sandbox cannot be read'),
    );
    const links = await kernel.listLinks();
    const plan = planReconciliation(records, {
      bootId: this.#bootId,
      directories: readdirSync(directory),
      links: new Set(links.map((link) => link.name).filter((name) => name.startsWith(factory.linkPrefix))),
      pinnedIn: (id) => factory.pinnedIn(id),
    });
    this.#execute(plan);
    for (let start = 0; start < plan.strayLinks.length; start += 64)
      await kernel.deleteLinks(plan.strayLinks.slice(start, start + 64), factory.linkGroup);
    const swept = plan.destroy.length + plan.strayDirectories.length + plan.strayLinks.length;
    if (records.length > 0 || swept > 0)
      this.#observer.info(
        { held: plan.held.length, pooled: plan.pool.length, swept },
        'sandboxes of an earlier process taken over',
      );
  }

  #execute(plan: ReconcilePlan): void {
    for (const record of [...plan.held, ...plan.pool, ...plan.destroy]) this.factory.adopt(record);
    for (const record of plan.held) this.sandboxes.adopt(record);
    for (const record of plan.pool) this.pool.adopt(record);
    for (const record of plan.destroy) this.factory.destroy(record);
    for (const id of plan.strayDirectories) this.factory.destroy(this.#recordOfStray(id));
    for (const { id, what } of plan.damaged)
      this.#observer.warn({ sandbox: id, what }, 'a held sandbox is damaged');
  }

  #recordOfStray(id: string): SandboxRecord {
    return {
      version: 1,
      id,
      bootId: this.#bootId,
      state: 'dying',
      network: 'bridge',
      ownUserNamespace: true,
      idRange: -1,
      address: 0,
      hostInterface: `${this.factory.linkPrefix}${id}`,
      handles: { userDevice: 0, userInode: 0, netDevice: 0, netInode: 0 },
      owner: '',
      holders: [],
      ports: [],
    };
  }

  /** Without it containers get the host's resolvers and do not find each other by name; that is no reason not to run. */
  async #startDns(): Promise<void> {
    const { subnet } = this.settings;
    const gateway = formatAddress(subnet.gateway);
    const host = new HostResolvers('/etc/resolv.conf', [gateway]);
    const dns = new DnsServer({
      address: gateway,
      port: 53,
      names: this.names,
      isOurs: (address) => isInSubnet(subnet, address),
      upstreamsFor: (asker) => {
        const own = this.sandboxes.dnsServersAt(asker).filter((address) => address !== gateway);
        return own.length > 0 ? own.map(asUpstream) : host.list();
      },
      count: (outcome) => this.#observer.dnsAnswered(outcome),
    });
    try {
      await dns.start();
      this.#dns = dns;
      this.#dnsFailure = '';
    } catch (error) {
      this.#dnsFailure = `the name server cannot listen on ${gateway}:53: ${(error as Error).message}`;
      this.#observer.warn({ err: error }, 'the name server cannot listen');
    }
  }

  async #checkQuietly(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      this.#observer.warn({ err: error }, 'the network cannot be checked');
    }
  }
}
