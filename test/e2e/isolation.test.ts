import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { describeOnNode, parseFacts, testImage, type TestNode } from '@gantry/test-harness';

const kinds = ['user', 'mnt', 'net', 'pid', 'ipc', 'uts', 'cgroup', 'time'] as const;
const statusOf = (facts: Readonly<Record<string, string>>, key: string): string | undefined =>
  new RegExp(`(?:^|\\|)${key}: ([^|]*)`).exec(facts['status'] ?? '')?.[1];

async function look(
  node: TestNode,
  verb: 'facts' | 'attempts',
  ...flags: string[]
): Promise<Readonly<Record<string, string>>> {
  return parseFacts(await node.must('run', '--rm', ...flags, testImage, 'payload', verb));
}

describeOnNode('what isolates a container', (getNode) => {
  test('all eight namespaces are its own', async () => {
    const facts = await look(getNode(), 'facts');
    for (const kind of kinds)
      assert.notEqual(facts[`ns_${kind}`], readlinkSync(`/proc/self/ns/${kind}`), kind);
    assert.equal(facts['pid'], '1');
  });

  test('root inside is nobody outside: a range of 65,536 ids that no other container has', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'first', testImage, 'sleep', '1000');
    await node.must('run', '-d', '--name', 'second', testImage, 'sleep', '1000');
    const maps = await Promise.all(
      ['first', 'second'].map(async (name) =>
        readFileSync(`/proc/${(await node.inspect(name)).State.Pid}/uid_map`, 'utf8')
          .trim()
          .split(/\s+/)
          .map(Number),
      ),
    );
    const [first, second] = maps;
    assert.ok(first && second);
    for (const [inside, outside = 0, count] of maps) {
      assert.deepEqual([inside, count], [0, 65_536]);
      assert.ok(outside >= node.idBase && outside < node.idBase + 64 * 65_536);
    }
    assert.notEqual(first[1], second[1]);
  });

  test("it has docker's default capabilities, no new privileges to gain beyond them, and a seccomp filter", async () => {
    const facts = await look(getNode(), 'facts');
    assert.equal(statusOf(facts, 'CapEff'), '00000000a80425fb');
    assert.equal(statusOf(facts, 'CapBnd'), '00000000a80425fb');
    assert.equal(statusOf(facts, 'Seccomp'), '2');
  });

  test('--cap-drop, --cap-add and --security-opt no-new-privileges change exactly that', async () => {
    const node = getNode();
    const dropped = await look(
      node,
      'facts',
      '--cap-drop',
      'ALL',
      '--cap-add',
      'NET_BIND_SERVICE',
      '--security-opt',
      'no-new-privileges',
    );
    assert.equal(statusOf(dropped, 'CapEff'), '0000000000000400');
    assert.equal(statusOf(dropped, 'NoNewPrivs'), '1');
    const user = await look(node, 'facts', '-u', '1000');
    assert.equal(statusOf(user, 'CapEff'), '0000000000000000');
  });

  test('--security-opt seccomp=unconfined takes the filter away', async () => {
    assert.equal(
      statusOf(await look(getNode(), 'facts', '--security-opt', 'seccomp=unconfined'), 'Seccomp'),
      '0',
    );
  });

  test('it can neither mount, nor change the clock, nor load modules, nor make namespaces or devices', async () => {
    const got = await look(getNode(), 'attempts');
    for (const name of [
      'mount_tmpfs',
      'remount_root',
      'unshare_user',
      'reboot',
      'keyctl',
      'bpf',
      'perf_event_open',
      'init_module',
      'settimeofday',
      'mknod_disk',
    ]) {
      assert.notEqual(got[name], 'ok', name);
    }
    assert.match(got['raise_nofile'] ?? '', /EPERM/);
  });

  test('masked and read-only paths of /proc and /sys are closed', async () => {
    const got = await look(getNode(), 'attempts');
    for (const name of [
      'read_firmware',
      'write_sysrq',
      'write_core_pattern',
      'write_drop_caches',
      'write_sys',
      'write_cgroup_v2',
      'write_cgroup_memory',
    ]) {
      assert.notEqual(got[name], 'ok', name);
    }
    // Masked by /dev/null: opening works, there is nothing in it.
    const masked = await getNode().must(
      'run',
      '--rm',
      testImage,
      'sh',
      '-c',
      'wc -c < /proc/kcore; wc -c < /proc/timer_list; ls /proc/scsi /sys/firmware | wc -l',
    );
    for (const line of masked.split('\n')) assert.match(line, /^0$|^[0-3]$/);
  });

  test('no descriptor of ours is open inside', async () => {
    const facts = await look(getNode(), 'facts');
    assert.equal(facts['open_files'], '0,1,2,');
  });

  test('it sees no process, no mount and no device of the host', async () => {
    const output = await getNode().must(
      'run',
      '--rm',
      testImage,
      'sh',
      '-c',
      'ps -o pid | wc -l; ls /dev; cat /proc/self/mountinfo',
    );
    assert.ok(Number(output.split('\n')[0]) <= 4, output.split('\n')[0]);
    assert.doesNotMatch(output.slice(0, output.indexOf(' / ')), /^(vd|sd|nvme|loop|kmsg|mem)/m);
    // Of the host's files only those that are made for this container.
    const hostFiles = output
      .split('\n')
      .filter((line) => line.includes(' ext4 ') || line.includes(' xfs ') || line.includes(' btrfs '));
    for (const line of hostFiles) assert.match(line, / \/etc\/(hosts|hostname|resolv\.conf) /);
  });

  test('--userns host makes root inside root outside, and nothing else weaker', async () => {
    const facts = await look(getNode(), 'facts', '--userns', 'host');
    assert.equal(facts['ns_user'], readlinkSync('/proc/self/ns/user'));
    assert.equal(statusOf(facts, 'CapEff'), '00000000a80425fb');
    for (const kind of kinds.filter((one) => one !== 'user'))
      assert.notEqual(facts[`ns_${kind}`], readlinkSync(`/proc/self/ns/${kind}`), kind);
  });

  test('--privileged gives all capabilities inside its own user namespace and no seccomp filter', async () => {
    const facts = await look(getNode(), 'facts', '--privileged');
    assert.notEqual(facts['ns_user'], readlinkSync('/proc/self/ns/user'));
    assert.equal(statusOf(facts, 'Seccomp'), '0');
    assert.match(statusOf(facts, 'CapEff') ?? '', /^000001ff/);
  });

  test('a setuid program gives nothing with no-new-privileges', async () => {
    const output = await getNode().must(
      'run',
      '--rm',
      '-u',
      '1000',
      '--security-opt',
      'no-new-privileges',
      testImage,
      'setuid-id',
      'facts',
    );
    assert.match(output, /Uid: 1000 1000 1000 1000/);
  });

  test('explain tells a person every layer of the isolation from live facts', async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'web',
      '--memory',
      '64m',
      testImage,
      'sh',
      '-c',
      'echo changed > /data/seed; sleep 1000',
    );
    const text = await node.must('explain', 'web');
    for (const word of ['user', 'mount', 'network', 'pid', 'ipc', 'uts', 'cgroup', 'time'])
      assert.match(text, new RegExp(`\\b${word}: .*its own`), word);
    for (const word of [
      /filter checks every system call/,
      /net_bind_service/i,
      /65536/,
      /67108864|64(\.0)? ?MiB/,
      /data\/seed/,
      new RegExp(node.bridge),
    ])
      assert.match(text, word);
  });
});
