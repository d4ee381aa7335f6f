import { CAPABILITIES, DEFAULT_CAPABILITIES } from '@gantry/oci';
import { cgroup, image, network, spawn, type node } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { reasonOf } from './refuse.js';

type Section = node.ExplainSection;

const NAMESPACE_WORDS: Readonly<Record<string, string>> = {
  user: 'user: ids inside mean other ids outside',
  mnt: 'mount: its own tree of files',
  net: 'network: its own interfaces, addresses, ports',
  pid: 'pid: sees only its own processes, its first is number 1',
  ipc: 'ipc: its own shared memory, semaphores, queues',
  uts: 'uts: its own host name',
  cgroup: 'cgroup: its limits look like the root of all',
  time: 'time: its own boot clock',
};

function bytes(value: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit] ?? ''}`;
}

function namespaceLines(facts: spawn.DescribeContainerResponse): string[] {
  return facts.namespaces.map(({ kind, inode, hostInode }) => {
    const words = NAMESPACE_WORDS[kind] ?? kind;
    return inode === hostInode
      ? `${words} — SHARED with the host (${inode})`
      : `${words} — its own (${inode}; the host's is ${hostInode})`;
  });
}

function idLines(facts: spawn.DescribeContainerResponse): string[] {
  const mapped = facts.uidMap.map((line) => {
    const [inside = '0', outside = '0', count = '0'] = line.trim().split(/\s+/);
    const last = Number(inside) + Number(count) - 1;
    return inside === outside && Number(count) > 65536
      ? `no mapping: uid ${inside} inside is uid ${outside} outside, root inside is root outside`
      : `uids ${inside} to ${last} inside are uids ${outside} to ${Number(outside) + Number(count) - 1} outside (${count} in all)`;
  });
  const root = facts.uidMap.map((line) => line.trim().split(/\s+/)).find(([inside]) => inside === '0');
  return [
    ...(root?.[1] === undefined
      ? []
      : [`root inside is uid ${root[1]} outside${root[1] === '0' ? '' : ', who owns nothing on this host'}`]),
    `its first process (pid ${facts.pid} outside) runs as uid ${facts.hostUid} outside`,
    ...mapped,
  ];
}

function capabilityLines(facts: spawn.DescribeContainerResponse): string[] {
  const kept = new Set(facts.boundingCapabilities);
  const dropped = CAPABILITIES.filter((name) => !kept.has(name));
  const unusual = [...kept].filter((name) => !DEFAULT_CAPABILITIES.includes(name));
  const list = (names: readonly string[]): string =>
    names.length === 0 ? 'none' : names.map((name) => name.replace(/^CAP_/, '').toLowerCase()).join(' ');
  return [
    `kept: ${list([...kept])}`,
    `dropped for good: ${list(dropped)}`,
    `in effect now: ${list(facts.effectiveCapabilities)}`,
    ...(unusual.length > 0 ? [`beyond the default: ${list(unusual)}`] : []),
    'in a user namespace of its own they hold over what belongs to the container, not over the host',
    facts.noNewPrivileges
      ? 'no_new_privs is set: no setuid program can give it more'
      : 'no_new_privs is not set: setuid programs work, within what is kept',
  ];
}

function seccompLines(facts: spawn.DescribeContainerResponse): string[] {
  if (facts.seccompMode !== 2) return ['no filter: every system call the capabilities permit'];
  const size =
    facts.seccompAllowedSyscalls > 0
      ? `; the profile names ${facts.seccompAllowedSyscalls} system calls`
      : '';
  return [
    `${facts.seccompFilters === 1 ? '1 filter checks' : `${facts.seccompFilters} filters check`} every system call${size}`,
  ];
}

function limitLines(usage: cgroup.Usage, paths: readonly string[]): string[] {
  const memory =
    usage.memoryLimitBytes > 0 ? `of at most ${bytes(usage.memoryLimitBytes)}` : 'with no limit of its own';
  const cores =
    usage.cpuQuotaUs > 0 && usage.cpuPeriodUs > 0
      ? `at most ${(usage.cpuQuotaUs / usage.cpuPeriodUs).toFixed(2)} CPUs`
      : 'as much as is free';
  const pids = usage.pidsLimit > 0 ? `of at most ${usage.pidsLimit}` : 'with no limit of its own';
  return [
    `memory: ${bytes(usage.memoryUsageBytes)} used (${bytes(usage.memoryWorkingSetBytes)} in its working set) ${memory}; ${usage.oomKillCount} killed for want of it`,
    `cpu: ${(usage.cpuUsageNs / 1e9).toFixed(2)} s used, ${cores}${usage.cpuThrottledPeriods > 0 ? `, held back in ${usage.cpuThrottledPeriods} of ${usage.cpuPeriods} periods` : ''}`,
    ...(usage.cpuShares > 0 ? [`cpu shares: ${usage.cpuShares} (1024 is the usual)`] : []),
    `tasks: ${usage.pidsCurrent} ${pids}`,
    ...(usage.frozen ? ['frozen: it does not run at all now'] : []),
    ...paths.map((path) => `cgroup ${path}`),
  ];
}

function fileLines(facts: image.DescribeRootfsResponse): string[] {
  const layers = facts.layers.map(({ diffId, sizeBytes, sharedByCount, createdBy }) => {
    const shared = sharedByCount > 1 ? `, shared by ${sharedByCount}` : '';
    const made = createdBy === '' ? '' : ` — ${createdBy.slice(0, 80)}`;
    return `layer ${diffId.replace('sha256:', '').slice(0, 12)} ${bytes(sizeBytes)}${shared}${made}`;
  });
  const words: Readonly<Record<string, string>> = {
    A: 'added',
    C: 'changed, so copied up',
    D: 'deleted, so hidden',
  };
  return [
    `image ${facts.imageId.replace('sha256:', '').slice(0, 12)}: ${facts.layers.length} read-only layer${facts.layers.length === 1 ? '' : 's'}, never copied, seen through id-mapped mounts`,
    ...layers,
    facts.changeCount === 0
      ? 'its own writable layer on top is empty'
      : `its own writable layer on top holds ${bytes(facts.writableBytes)} in ${facts.changeCount} changed path${facts.changeCount === 1 ? '' : 's'}:`,
    ...facts.changes.map(({ path, kind }) => `  ${path} (${words[kind] ?? kind})`),
  ];
}

function mountLines(container: Container): string[] {
  return container.record.mounts.map(({ type, source, target, readOnly, anonymous }) => {
    const what =
      type === 'volume'
        ? `volume ${anonymous ? source.slice(0, 12) : source}`
        : type === 'bind'
          ? `host path ${source}`
          : 'memory (tmpfs)';
    return `${target} is ${what}${readOnly ? ', read-only' : ''}`;
  });
}

/** A section, or what kept it from being told: one silent service never hides the others. */
async function section(title: string, tell: () => Promise<string[]>): Promise<Section[]> {
  try {
    const lines = await tell();
    return lines.length === 0 ? [] : [{ title, lines }];
  } catch (error) {
    return [{ title, lines: [`not known now: ${reasonOf(error)}`] }];
  }
}

/** What isolates a container, from live kernel facts, in words for somebody who wants to understand it. */
export async function explainContainer(context: AgentContext, container: Container): Promise<Section[]> {
  const { bus } = context;
  const request = { containerId: container.id };
  const { record } = container;
  const live = container.running
    ? bus.call(spawn.Spawner.methods.DescribeContainer, request)
    : Promise.reject(new Error('the container does not run, so it has no process to look at'));
  live.catch(() => undefined);
  const identity: Section = {
    title: 'Container',
    lines: [
      `${record.name} (${record.id.slice(0, 12)}) from ${record.image}`,
      `${container.life.state}, start number ${container.life.attempt}: ${record.execution.args.join(' ')}`,
    ],
  };
  const sections = await Promise.all([
    section('Namespaces: what it sees', async () => namespaceLines(await live)),
    section('Users: who it is', async () => idLines(await live)),
    section("Capabilities: which of root's powers it has", async () => capabilityLines(await live)),
    section('Seccomp: which system calls it may make', async () => seccompLines(await live)),
    section('Limits: how much it may use', async () => {
      const { usage } = await bus.call(cgroup.CgroupSupervisor.methods.GetUsage, request);
      const paths = await live.then(
        (facts) => facts.cgroups,
        () => [],
      );
      return usage === undefined ? [] : limitLines(usage, paths);
    }),
    section('Files: where its root comes from', async () =>
      fileLines(await bus.call(image.ImageStore.methods.DescribeRootfs, { ...request, limit: 20 })),
    ),
    section('Mounts: what comes from elsewhere', () => Promise.resolve(mountLines(container))),
    section(
      'Network: the way of its packets',
      async () => (await bus.call(network.NetworkManager.methods.DescribeSandbox, request)).lines,
    ),
  ]);
  return [identity, ...sections.flat()];
}
