import { NetworkNamespace } from './network-namespace.js';

/** Where a test node stands on a private network. */
export interface LanPlace {
  readonly network: PrivateNetwork;
  readonly address: string;
  /** Name of the machine that the node believes to be on. */
  readonly hostname: string;
}

/** A switch in a namespace of its own, and cables to it from the namespaces that stand for machines. */
export class PrivateNetwork {
  /** Address of the switch itself: what runs in `namespace` is reached here. */
  readonly gateway = '198.18.0.1';
  readonly namespace: NetworkNamespace;
  readonly #ports = new Map<string, string>();

  private constructor(namespace: NetworkNamespace) {
    this.namespace = namespace;
  }

  static async create(name: string): Promise<PrivateNetwork> {
    const network = new PrivateNetwork(await NetworkNamespace.create(name));
    const { namespace, gateway } = network;
    await namespace.mustRun('ip', ['link', 'add', 'lan0', 'type', 'bridge']);
    await namespace.mustRun('ip', ['addr', 'add', `${gateway}/24`, 'dev', 'lan0']);
    await namespace.mustRun('ip', ['link', 'set', 'lan0', 'up']);
    return network;
  }

  /** 198.18.0.11 for the first machine, and so on. */
  addressOf(machine: number): string {
    return `198.18.0.${11 + machine}`;
  }

  /** A cable from a machine: "outside0" there, with the address, and the default route through the switch. */
  async plugIn(machine: NetworkNamespace, address: string): Promise<void> {
    const port = `port${address.split('.')[3]}`;
    const peer = ['peer', 'name', port, 'netns', this.namespace.name];
    await machine.mustRun('ip', ['link', 'add', 'outside0', 'type', 'veth', ...peer]);
    await machine.mustRun('ip', ['addr', 'add', `${address}/24`, 'dev', 'outside0']);
    await machine.mustRun('ip', ['link', 'set', 'outside0', 'up']);
    await machine.mustRun('ip', ['route', 'add', 'default', 'via', this.gateway]);
    await this.namespace.mustRun('ip', ['link', 'set', port, 'master', 'lan0', 'up']);
    this.#ports.set(address, port);
  }

  /** Takes the cable out at the switch: what the machine sends is lost, and nobody is told. */
  async cut(address: string): Promise<void> {
    await this.#setPort(address, 'down');
  }

  async restore(address: string): Promise<void> {
    await this.#setPort(address, 'up');
  }

  async #setPort(address: string, state: 'up' | 'down'): Promise<void> {
    const port = this.#ports.get(address);
    if (port === undefined) throw new Error(`no machine has the address ${address}`);
    await this.namespace.mustRun('ip', ['link', 'set', port, state]);
  }

  async remove(): Promise<void> {
    await this.namespace.remove();
  }
}
