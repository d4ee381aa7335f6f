import { GantryError } from '@gantry/protocol';
import type { NetworkSettings } from './config.js';
import type { Firewall } from './firewall.js';
import type { HostForwarding } from './host-settings.js';
import { hardwareAddressOf } from './ipv4.js';
import type { Kernel } from './kernel.js';

export interface BridgeNetworkOptions {
  readonly kernel: Kernel;
  readonly settings: NetworkSettings;
  readonly firewall: Firewall;
  readonly forwarding: HostForwarding;
  readonly linkPrefix: string;
  readonly linkGroup: number;
  /** Interfaces of containers that publish ports. */
  readonly publishingInterfaces: () => ReadonlySet<string>;
}

/** The host's side of the network: bridge, forwarding, rules; brought to what it should be, again and again. */
export class BridgeNetwork {
  readonly #options: BridgeNetworkOptions;
  #index = 0;
  #opened: readonly string[] = [];

  constructor(options: BridgeNetworkOptions) {
    this.#options = options;
  }

  /** Interface index of the bridge. */
  get index(): number {
    return this.#index;
  }

  /** Makes the bridge and its settings; the rules follow with `writeRules`. */
  async setUp(): Promise<void> {
    const { kernel, settings, forwarding } = this.#options;
    const present = (await kernel.listLinks()).find((link) => link.name === settings.bridge);
    if (present !== undefined && present.kind !== 'bridge') {
      throw new GantryError({
        code: 'failed_precondition',
        operation: 'start',
        object: settings.bridge,
        message: `interface ${settings.bridge} exists and is not a bridge; choose another name with network_manager.bridge`,
      });
    }
    // Ours is known by the address it was made with: another tool's bridge is neither changed nor, at the end, removed.
    if (
      present !== undefined &&
      Buffer.compare(present.mac, hardwareAddressOf(settings.subnet.gateway)) !== 0
    ) {
      throw new GantryError({
        code: 'failed_precondition',
        operation: 'start',
        object: settings.bridge,
        message: `bridge ${settings.bridge} was not made by gantry for this subnet; choose another name with network_manager.bridge, or remove it`,
      });
    }
    await this.#ensureBridge();
    this.#opened = forwarding.apply();
  }

  async writeRules(): Promise<void> {
    const { settings, firewall } = this.#options;
    await firewall.replace(() => ({
      bridge: settings.bridge,
      subnet: settings.subnet,
      guardedPorts: settings.guardedPorts,
      openedInterfaces: this.#opened,
    }));
  }

  /** Compares with the kernel and repairs; answers what was wrong, as sentences. */
  async check(): Promise<string[]> {
    const { kernel, settings, firewall, forwarding, linkPrefix } = this.#options;
    const drift: string[] = [];
    const links = await kernel.listLinks();
    const bridge = links.find((link) => link.name === settings.bridge);
    if (bridge === undefined) drift.push(`bridge ${settings.bridge} is gone`);
    else if (!bridge.up) drift.push(`bridge ${settings.bridge} is down`);
    await this.#ensureBridge();
    const loose = links.filter((link) => link.name.startsWith(linkPrefix) && link.master !== this.#index);
    if (loose.length > 0) {
      drift.push(`${loose.length} interfaces of containers are not on the bridge`);
      const publishing = this.#options.publishingInterfaces();
      for (let start = 0; start < loose.length; start += 64) {
        const names = loose.slice(start, start + 64).map((link) => link.name);
        await kernel.attachLinks(names, this.#index);
        await kernel.setHairpin(names.filter((name) => publishing.has(name)));
      }
    }
    const opened = forwarding.apply();
    const sameOpened = opened.join() === this.#opened.join();
    this.#opened = opened;
    const ruleDrift = await firewall.findDrift();
    drift.push(...ruleDrift);
    if (ruleDrift.length > 0 || !sameOpened) await this.writeRules();
    return drift;
  }

  /** Removes all of it. */
  async tearDown(): Promise<void> {
    const { kernel, settings, firewall, forwarding, linkGroup } = this.#options;
    forwarding.restore();
    await firewall.remove();
    await kernel.deleteLinks([settings.bridge], linkGroup);
    this.#index = 0;
  }

  async #ensureBridge(): Promise<void> {
    const { kernel, settings } = this.#options;
    const { gateway, prefixLength } = settings.subnet;
    this.#index = await kernel.ensureBridge({
      name: settings.bridge,
      address: gateway,
      prefixLength,
      mac: hardwareAddressOf(gateway),
    });
  }
}
