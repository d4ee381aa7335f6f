import dns from 'dns-packet';
import { formatAddress, parseAddress, type Address } from './ipv4.js';
import type { NameTable } from './names.js';

/** Seconds a container's name may be kept by whoever asked: names follow containers within a second. */
const nameTtl = 1;

/** Authoritative answer (RFC 1035, 4.1.1). */
const authoritative = 1 << 10;
const recursionAvailable = 1 << 7;

const responseCodes = { formatError: 1, serverFailure: 2, notImplemented: 4, refused: 5 } as const;
export type ResponseCode = keyof typeof responseCodes;

export interface Query {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  /** Largest UDP answer the asker takes. */
  readonly udpSize: number;
  readonly packet: dns.Packet;
}

/** Undefined when the bytes are no query with one question: nobody is answered then. */
export function readQuery(bytes: Buffer): Query | undefined {
  let packet: dns.Packet;
  try {
    packet = dns.decode(bytes);
  } catch {
    return undefined;
  }
  const [question, ...more] = packet.questions ?? [];
  if (packet.type !== 'query' || question === undefined || more.length > 0) return undefined;
  const edns = packet.additionals?.find((record) => record.type === 'OPT') as
    { udpPayloadSize?: number } | undefined;
  const udpSize = Math.min(Math.max(edns?.udpPayloadSize ?? 512, 512), 4096);
  return { id: packet.id ?? 0, name: question.name, type: question.type, udpSize, packet };
}

/**
 * What the node itself knows: addresses of containers, as whoever asks may know them, and names of addresses in its
 * subnet. Undefined when the question is for the resolvers outside.
 */
export function answerLocally(
  query: Query,
  names: NameTable,
  isOurs: (address: Address) => boolean,
  asker?: Address,
): Buffer | undefined {
  const reverse = addressOfReverseName(query.name);
  if (reverse !== undefined) {
    if (!isOurs(reverse)) return undefined;
    const found = names.namesAt(reverse) ?? [];
    const answers: dns.Answer[] =
      query.type === 'PTR'
        ? found.map((data) => ({ type: 'PTR', name: query.name, ttl: nameTtl, class: 'IN', data }))
        : [];
    // A private address that nobody has is known not to exist: its name is never asked for outside.
    return reply(query, answers, names.namesAt(reverse) === undefined ? 3 : 0);
  }
  const addresses = names.addressesOf(query.name, asker);
  if (addresses === undefined) return undefined;
  // A name that exists without an address of the asked type has an empty answer, not an error: resolvers that ask for
  // AAAA first would otherwise stop there.
  const answers: dns.Answer[] =
    query.type === 'A'
      ? shuffled(addresses).map((address) => ({
          type: 'A',
          name: query.name,
          ttl: nameTtl,
          class: 'IN',
          data: formatAddress(address),
        }))
      : [];
  return reply(query, answers, 0);
}

export function refuse(query: Query, code: ResponseCode): Buffer {
  return reply(query, [], responseCodes[code]);
}

/** The same answer cut to its question, with the mark that makes the asker come back over TCP (RFC 1035, 4.2.1). */
export function truncated(query: Query): Buffer {
  return dns.encode({ ...header(query), flags: flagsOf(query) | dns.TRUNCATED_RESPONSE, answers: [] });
}

function reply(query: Query, answers: dns.Answer[], code: number): Buffer {
  return dns.encode({ ...header(query), flags: flagsOf(query) | authoritative | code, answers });
}

function header(query: Query): dns.Packet {
  return { type: 'response', id: query.id, questions: query.packet.questions ?? [] };
}

function flagsOf(query: Query): number {
  return ((query.packet.flags ?? 0) & dns.RECURSION_DESIRED) | recursionAvailable;
}

/** 10.88.0.5 of "5.0.88.10.in-addr.arpa"; undefined for any other name. */
function addressOfReverseName(name: string): Address | undefined {
  const match = /^([0-9.]+)\.in-addr\.arpa\.?$/i.exec(name);
  return match?.[1] === undefined ? undefined : parseAddress(match[1].split('.').reverse().join('.'));
}

/** Containers that share a name take turns. */
function shuffled<T>(list: readonly T[]): T[] {
  if (list.length < 2) return [...list];
  const start = Math.floor(Math.random() * list.length);
  return [...list.slice(start), ...list.slice(0, start)];
}
