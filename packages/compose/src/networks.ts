import type { Init, node } from '@gantry/protocol';
import { suggest } from './check-keys.js';
import type { StackContext } from './context.js';
import type { Field } from './field.js';

type Networking = Pick<Init<node.ContainerSpec>, 'network' | 'networkAliases'>;

const alias = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/;

/** `networks` and `network_mode`. The service's own name is added where its task runs. */
export function readNetworking(service: Field, context: StackContext): Networking {
  const modeField = service.get('network_mode');
  const networks = service.get('networks');
  const mode = modeField?.parse((text) =>
    text === 'bridge' || text === 'none' || text === 'host'
      ? { ok: true, value: text }
      : { ok: false, why: `is ${JSON.stringify(text)}; bridge, none and host are done` },
  );
  if (modeField !== undefined) {
    networks?.refuseKey('stands beside network_mode; keep one of them');
    if (mode === 'host' || mode === 'none')
      service.get('ports')?.refuseKey(`has no meaning with network_mode ${mode}`);
  }
  const aliases = networks === undefined ? [] : readMemberships(networks, context);
  return { network: mode, networkAliases: [...new Set(aliases)].sort() };
}

function readMemberships(networks: Field, context: StackContext): readonly string[] {
  const known = (name: string, field: Field, key: boolean): void => {
    if (context.networks.has(name)) return;
    const message = `names network ${JSON.stringify(name)}, which is not under networks${suggest(name, context.networks)}`;
    if (key) field.refuseKey(message);
    else field.refuse(message);
  };
  if (networks.isSequence) {
    for (const item of networks.items()) {
      const name = item.string();
      if (name !== undefined) known(name, item, false);
    }
    return [];
  }
  return networks.entries('a list or a map').flatMap(([name, field]) => {
    known(name, field, true);
    if (field.isNull) return [];
    field.entries();
    return (field.get('aliases')?.items() ?? []).flatMap((item) => {
      const text = item.string();
      if (text === undefined) return [];
      return alias.test(text) ? [text] : (item.refuse(`is ${JSON.stringify(text)}, not a DNS name`) ?? []);
    });
  });
}

/** The stack's networks: their names alone count, since its containers share one on each node. */
export function readNetworks(field: Field | undefined): ReadonlySet<string> {
  const names = new Set(['default']);
  for (const [name, network] of field?.entries() ?? []) {
    names.add(name);
    if (network.isNull) continue;
    network.entries();
    if (network.get('external')?.boolean() === true)
      network.get('external')?.refuseKey("is not done by gantry stack deploy: networks are the stack's own");
    if (network.get('internal')?.boolean() === true)
      network
        .get('internal')
        ?.refuseKey('is not done by gantry stack deploy: every network reaches the outside');
    network.get('driver')?.oneOf(['bridge', 'overlay']);
    network.get('attachable')?.boolean();
  }
  for (const name of names)
    if (name !== 'default')
      field?.warnOnce(
        'the services of a stack share one network on each node: they reach each other whichever they name',
      );
  return names;
}
