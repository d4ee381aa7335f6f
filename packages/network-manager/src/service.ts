import type { Handlers } from '@gantry/bus';
import type { Init, network } from '@gantry/protocol';
import { parseAttachRequest, parseContainerId, parseNames } from './attach-request.js';
import { describeSandbox } from './describe.js';
import { formatAddress, formatHardwareAddress, formatSubnet, hardwareAddressOf } from './ipv4.js';
import type { NodeNetwork } from './node-network.js';
import type { SandboxRecord } from './records.js';

const modes = {
  bridge: 'NETWORK_MODE_BRIDGE',
  none: 'NETWORK_MODE_NONE',
  host: 'NETWORK_MODE_HOST',
} as const;
const maxPageSize = 200;

/** The contract of proto/gantry/network/v1 over a node's network. */
export function createHandlers(node: NodeNetwork): Handlers<typeof network.NetworkManager> {
  const { sandboxes } = node;
  return {
    AttachSandbox: async (request) => ({
      sandbox: describeToCaller(node, await sandboxes.attach(parseAttachRequest(request))),
    }),

    DetachSandbox: async ({ containerId }) => {
      await sandboxes.detach(parseContainerId(containerId, 'DetachSandbox'));
      return {};
    },

    GetSandbox: async ({ containerId }) =>
      await Promise.resolve({
        sandbox: describeToCaller(
          node,
          sandboxes.get(parseContainerId(containerId, 'GetSandbox'), 'GetSandbox'),
        ),
      }),

    ListSandboxes: async ({ pageSize, pageToken }) => {
      const size = pageSize === 0 ? maxPageSize : Math.min(pageSize, maxPageSize);
      const after = sandboxes.holders().filter(({ containerId }) => containerId > pageToken);
      const page = after.slice(0, size);
      return await Promise.resolve({
        holders: page.map(({ containerId, record }) => ({
          containerId,
          sandbox: describeToCaller(node, record),
        })),
        nextPageToken: after.length > size ? (page.at(-1)?.containerId ?? '') : '',
      });
    },

    SetNames: async ({ containerId, names }) => {
      await sandboxes.setNames(parseContainerId(containerId, 'SetNames'), parseNames(names, 'SetNames'));
      return {};
    },

    GetInterfaceUsage: async ({ containerId }) => {
      const links = await sandboxes.usage(parseContainerId(containerId, 'GetInterfaceUsage'));
      return { interfaces: links.filter((link) => link.name !== 'lo') };
    },

    DescribeSandbox: async ({ containerId }) => {
      const record = sandboxes.get(parseContainerId(containerId, 'DescribeSandbox'), 'DescribeSandbox');
      return { lines: await describeSandbox(node, record) };
    },

    GetNetworkInfo: async () =>
      await Promise.resolve({
        bridge: node.settings.bridge,
        subnet: formatSubnet(node.settings.subnet),
        gateway: formatAddress(node.settings.subnet.gateway),
        poolReady: node.pool.ready,
        poolTarget: node.pool.target,
        sandboxCount: sandboxes.sandboxCount,
        missing: [...node.missing],
      }),

    TearDown: async () => ({ removed: await node.tearDown(), holders: sandboxes.holderCount }),
  };
}

/** The record as the contract words it. */
export function describeToCaller(node: NodeNetwork, record: SandboxRecord): Init<network.Sandbox> {
  const directory = node.factory.directoryOf(record.id);
  const { handles } = record;
  const onBridge = record.network === 'bridge';
  return {
    sandboxId: record.owner,
    networkMode: modes[record.network],
    userMode: record.ownUserNamespace ? 'USER_NAMESPACE_MODE_PRIVATE' : 'USER_NAMESPACE_MODE_HOST',
    userNamespace: record.ownUserNamespace
      ? { path: `${directory}/user`, device: handles.userDevice, inode: handles.userInode }
      : {},
    networkNamespace:
      record.network === 'host'
        ? {}
        : { path: `${directory}/net`, device: handles.netDevice, inode: handles.netInode },
    idBase: node.factory.idBaseOf(record),
    idCount: node.factory.idCountOf(record),
    ipAddress: onBridge ? formatAddress(record.address) : '',
    prefixLength: onBridge ? node.settings.subnet.prefixLength : 0,
    gateway: onBridge ? formatAddress(node.settings.subnet.gateway) : '',
    macAddress: onBridge ? formatHardwareAddress(hardwareAddressOf(record.address)) : '',
    dnsServers: onBridge ? [...node.dnsServers] : [],
    ports: record.ports.map((port) => ({
      hostIp: port.hostAddress === 0 ? '' : formatAddress(port.hostAddress),
      hostPort: port.hostPort,
      containerPort: port.containerPort,
      protocol: port.protocol,
    })),
    hostInterface: record.hostInterface,
  };
}
