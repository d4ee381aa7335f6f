import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { differently, newerThanReferences, type Case } from '../case.js';

/** Settings of the kernel that belong to a container: sysctls, personality, memory, network devices, labels. */
export const kernelCases: readonly Case[] = [
  {
    title: 'a sysctl of a namespace is set',
    covers: ['linux.sysctl'],
    async judge(t) {
      t.spec.linux['sysctl'] = { 'net.ipv4.ip_forward': '1', 'kernel.msgmax': '65530' };
      assert.equal(
        await t.inside('cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/kernel/msgmax'),
        '1\n65530\n',
      );
    },
  },
  ...(
    [
      ['kernel.msgmax', 'ipc'],
      ['net.ipv4.ip_forward', 'network'],
    ] as const
  ).map(([key, type]): Case => ({
    title: `the sysctl ${key} without a ${type} namespace of its own is refused`,
    covers: ['linux.sysctl'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces.filter((one) => one.type !== type);
      t.spec.mounts = t.spec.mounts.filter((mount) => mount.type !== 'sysfs');
      // The value that it has: a runtime that takes it must not have changed the machine.
      const current = readFileSync(`/proc/sys/${key.replaceAll('.', '/')}`, 'utf8').trim();
      t.spec.linux['sysctl'] = { [key]: current };
      await t.refused(/sysctl|namespace/);
    },
  })),
  {
    title: 'a sysctl of the whole machine is refused',
    covers: ['linux.sysctl'],
    async judge(t) {
      t.spec.linux['sysctl'] = { 'vm.swappiness': readFileSync('/proc/sys/vm/swappiness', 'utf8').trim() };
      await t.refused(/swappiness|sysctl/);
    },
  },
  {
    title: 'the personality LINUX32 makes uname say i686',
    covers: ['linux.personality', 'linux.personality.domain'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX32' };
      assert.equal((await t.facts())['machine'], 'i686');
    },
    differs: { runc: newerThanReferences.runc },
  },
  {
    title: 'the personality LINUX is the ordinary one',
    covers: ['linux.personality.domain'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX' };
      assert.equal((await t.facts())['personality'], '0');
    },
  },
  {
    title: 'a personality that does not exist is refused',
    covers: ['linux.personality.domain'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX_OF_TOMORROW' };
      await t.refused(/LINUX_OF_TOMORROW|personality/i);
    },
    differs: { runc: newerThanReferences.runc },
  },
  {
    title: 'flags of a personality, of which the specification has none, are refused or warned about',
    covers: ['linux.personality.flags'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX', flags: ['ADDR_NO_RANDOMIZE'] };
      const { code, stderr } = await t.run(['true']);
      assert.match(stderr, /personality|flag/i, `exit code ${code} and not a word`);
    },
    differs: {
      runc: newerThanReferences.runc,
      crun: differently('crun 1.8 does not look at the flags', /not a word/),
    },
  },
  {
    title: 'the memory policy is set, with its nodes',
    covers: [
      'linux.memoryPolicy',
      'linux.memoryPolicy.mode',
      'linux.memoryPolicy.nodes',
      'linux.memoryPolicy.flags',
    ],
    async judge(t) {
      t.spec.linux['memoryPolicy'] = { mode: 'MPOL_INTERLEAVE', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] };
      const facts = await t.facts();
      assert.equal(Number(facts['mempolicy']) & 0xff, 3);
      assert.equal(facts['mempolicy_nodes'], '1');
    },
    differs: newerThanReferences,
  },
  {
    title: 'a memory policy that does not exist is refused',
    covers: ['linux.memoryPolicy.mode'],
    async judge(t) {
      t.spec.linux['memoryPolicy'] = { mode: 'MPOL_OF_TOMORROW' };
      await t.refused(/MPOL_OF_TOMORROW|memory ?policy/i);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a network device is moved in, renamed, with its address, and up',
    covers: ['linux.netDevices', 'linux.netDevices{}.name'],
    async judge(t) {
      const name = `gcf${process.pid % 10_000}${t.runtime.name.slice(0, 1)}`;
      assert.equal(
        spawnSync('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`]).status,
        0,
      );
      t.afterwards(() => spawnSync('ip', ['link', 'del', `${name}p`]));
      spawnSync('ip', ['addr', 'add', '198.51.100.7/24', 'dev', name]);
      t.spec.linux['netDevices'] = { [name]: { name: 'inner0' } };
      const pid = await t.live();
      const said = spawnSync('nsenter', [
        '-t',
        String(pid),
        '-n',
        'ip',
        'addr',
        'show',
        'inner0',
      ]).stdout.toString();
      assert.match(said, /inner0@?.*[<,]UP[,>]/);
      assert.match(said, /198\.51\.100\.7\/24/);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a network device that does not exist is refused by name',
    covers: ['linux.netDevices'],
    async judge(t) {
      t.spec.linux['netDevices'] = { absent0: {} };
      await t.refused(/absent0/);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a mount label is refused by name where the kernel has no SELinux switched on',
    covers: ['linux.mountLabel'],
    refuses: true,
    async judge(t) {
      t.spec.linux['mountLabel'] = 'system_u:object_r:container_file_t:s0';
      await t.refused(/mountLabel|selinux/i);
    },
    differs: {
      runc: differently('runc says it in other words or leaves the label out', /./),
      crun: differently('crun fails at the mount', /./),
    },
  },
  {
    title: 'Intel RDT is refused by name where there is none',
    covers: ['linux.intelRdt', 'linux.intelRdt.*'],
    refuses: true,
    async judge(t) {
      t.spec.linux['intelRdt'] = {
        closID: 'group',
        schemata: ['L3:0=f'],
        l3CacheSchema: 'L3:0=f',
        memBwSchema: 'MB:0=20',
        enableMonitoring: true,
      };
      await t.refused(/intelRdt|rdt/i);
    },
    differs: { crun: differently('crun 1.8 ignores it', /accepted|./) },
  },
];
