import { readFileSync, writeFileSync } from 'node:fs';
import { hostname as hostHostname } from 'node:os';
import type { network } from '@gantry/protocol';
import type { ContainerRecord } from './record.js';

/** What the three files are made from. */
export interface NameFacts {
  readonly record: ContainerRecord;
  readonly sandbox: network.Sandbox;
}

function hostFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const LOCAL_HOSTS = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::0\tip6-localnet',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

export function hostnameOf(record: ContainerRecord): string {
  return record.spec.network === 'host' && record.spec.hostname === '' ? hostHostname() : record.hostname;
}

/** /etc/hosts of one container. */
export function renderHosts({ record, sandbox }: NameFacts): string {
  const extra = record.spec.extraHosts.map((entry) => {
    const at = entry.search(/[=:]/);
    const address = entry.slice(at + 1);
    return `${address === 'host-gateway' ? sandbox.gateway || '127.0.0.1' : address}\t${entry.slice(0, at)}`;
  });
  if (record.spec.network === 'host')
    return `${hostFile('/etc/hosts').trimEnd()}\n${extra.map((line) => `${line}\n`).join('')}`;
  const [label = ''] = record.hostname.split('.');
  const names = label === record.hostname ? record.hostname : `${record.hostname} ${label}`;
  const own = sandbox.ipAddress === '' ? [`127.0.0.1\t${names}`] : [`${sandbox.ipAddress}\t${names}`];
  return `${[...LOCAL_HOSTS, ...extra, ...own].join('\n')}\n`;
}

/** /etc/resolv.conf of one container. */
export function renderResolvConf({ record, sandbox }: NameFacts): string {
  const { dnsServers, dnsSearch, dnsOptions } = record.spec;
  const servers =
    sandbox.dnsServers.length > 0 ? sandbox.dnsServers : record.spec.network === 'host' ? dnsServers : [];
  if (servers.length === 0 && dnsSearch.length === 0 && dnsOptions.length === 0)
    return hostFile('/etc/resolv.conf');
  const fromHost =
    servers.length > 0
      ? []
      : hostFile('/etc/resolv.conf')
          .split('\n')
          .filter((line) => line.startsWith('nameserver'));
  const search = dnsSearch.length > 0 ? dnsSearch.filter((domain) => domain !== '.') : hostSearch();
  return [
    ...servers.map((server) => `nameserver ${server}`),
    ...fromHost,
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...(dnsOptions.length > 0 ? [`options ${dnsOptions.join(' ')}`] : []),
    '',
  ].join('\n');
}

function hostSearch(): readonly string[] {
  const line = hostFile('/etc/resolv.conf')
    .split('\n')
    .findLast((text) => text.startsWith('search '));
  return line === undefined
    ? []
    : line
        .split(/\s+/)
        .slice(1)
        .filter((word) => word !== '');
}

export const GENERATED_FILES = ['hosts', 'hostname', 'resolv.conf'] as const;

/** Writes the files that are bind-mounted at /etc; in place, so that a mount of an earlier start shows the same file. */
export function writeGeneratedFiles(directory: string, facts: NameFacts): void {
  writeFileSync(`${directory}/hosts`, renderHosts(facts), { mode: 0o644 });
  writeFileSync(`${directory}/hostname`, `${hostnameOf(facts.record)}\n`, { mode: 0o644 });
  writeFileSync(`${directory}/resolv.conf`, renderResolvConf(facts), { mode: 0o644 });
}
