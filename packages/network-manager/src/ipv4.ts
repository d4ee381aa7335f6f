/** An IPv4 address as an unsigned 32-bit number, most significant byte first. */
export type Address = number;

export interface Subnet {
  readonly network: Address;
  readonly prefixLength: number;
  /** The first address: the bridge's own. */
  readonly gateway: Address;
  /** Addresses from `network`, the network's own and the broadcast address included. */
  readonly size: number;
}

/** Undefined when the text is not four decimal bytes. */
export function parseAddress(text: string): Address | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const byte = Number(part);
    if (byte > 255) return undefined;
    address = address * 256 + byte;
  }
  return address;
}

export function formatAddress(address: Address): string {
  return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join('.');
}

/** Host bits are cut off. Undefined when the text is not ADDRESS/LENGTH. */
export function parseSubnet(text: string): Subnet | undefined {
  const [addressText = '', lengthText = '', ...rest] = text.split('/');
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0 || !/^(0|[1-9][0-9]?)$/.test(lengthText)) return undefined;
  const prefixLength = Number(lengthText);
  if (prefixLength > 32) return undefined;
  const size = 2 ** (32 - prefixLength);
  const network = address - (address % size);
  return Object.freeze({ network, prefixLength, gateway: network + 1, size });
}

export function isInSubnet(subnet: Subnet, address: Address): boolean {
  return address >= subnet.network && address < subnet.network + subnet.size;
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatAddress(subnet.network)}/${subnet.prefixLength}`;
}

/** A locally administered hardware address that follows from the IPv4 address: an address that comes back stays true in neighbour caches. */
export function hardwareAddressOf(address: Address): Uint8Array {
  return Uint8Array.of(
    0x02,
    0x67,
    address >>> 24,
    (address >>> 16) & 255,
    (address >>> 8) & 255,
    address & 255,
  );
}

export function formatHardwareAddress(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
