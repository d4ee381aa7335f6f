/**
 * Drives the native addon with what it must refuse, inside the network namespace that a test starts it in. Argument: an
 * empty directory. Ends with 0 when all held.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hardwareAddressOf, parseAddress } from '../ipv4.js';
import { isKernelError, openKernel, type Kernel, type SandboxPlan } from '../kernel.js';

const directory = process.argv[2] ?? '';
const kernel = openKernel();
const group = 0x4fffffff;
const gateway = parseAddress('10.99.0.1') ?? 0;
await kernel.shareDirectory(directory);
await kernel.shareDirectory(directory);
const bridge = { name: 'kt0', address: gateway, prefixLength: 16, mac: hardwareAddressOf(gateway) };
const bridgeIndex = await kernel.ensureBridge(bridge);
assert.equal(await kernel.ensureBridge(bridge), bridgeIndex, 'making the bridge again changes nothing');

function planFor(index: number, change: Partial<SandboxPlan> = {}): SandboxPlan {
  const path = join(directory, String(index));
  mkdirSync(path, { recursive: true });
  return {
    directory: path,
    ownUserNamespace: true,
    ownNetNamespace: true,
    idBase: 0x30000000 + index * 65536,
    idCount: 65536,
    sysctls: [],
    interface: {
      hostName: `kt-${index}`,
      bridgeIndex,
      mac: hardwareAddressOf(gateway + index),
      address: gateway + index,
      prefixLength: 16,
      gateway,
    },
    ...change,
  };
}

const doom = (index: number): { directory: string; hostInterface: string } => ({
  directory: join(directory, String(index)),
  hostInterface: `kt-${index}`,
});
const linkNames = async (): Promise<string[]> =>
  (await kernel.listLinks()).map((link) => link.name).filter((name) => name.startsWith('kt-'));
const mounts = (): number =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${directory}/`)).length;

async function expectRefusal(plan: SandboxPlan, code: string, stage: RegExp): Promise<void> {
  await assert.rejects(kernel.makeSandbox(plan), (error) => {
    assert.ok(isKernelError(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.stage, stage);
    return true;
  });
}

const whole = planFor(1).interface;
assert.ok(whole);
await expectRefusal({ ...planFor(1), directory: join(directory, 'missing') }, 'ENOENT', /^create$/);
await expectRefusal(planFor(1, { idCount: 0 }), 'EINVAL', /^write$/);
await expectRefusal(planFor(1, { sysctls: [{ path: 'net/ipv4/no_such', value: '1' }] }), 'ENOENT', /sysctl/);
await expectRefusal(planFor(1, { interface: { ...whole, bridgeIndex: 9_999 } }), 'EINVAL', /veth/);
await expectRefusal(
  planFor(1, { interface: { ...whole, hostName: 'a name that is far too long' } }),
  'ERANGE',
  /veth/,
);
await expectRefusal(
  planFor(1, { interface: { ...whole, gateway: 0x01020304 } }),
  'ENETUNREACH',
  /default route/,
);
assert.deepEqual(await linkNames(), [], 'what was refused left no link');
assert.equal(mounts(), 0, 'nor a mount');
assert.deepEqual(readdirSync(join(directory, '1')), [], 'nor a file');

await kernel.makeSandbox(planFor(1));
await expectRefusal({ ...planFor(2), interface: { ...whole } }, 'EEXIST', /veth/);
assert.deepEqual(await linkNames(), ['kt-1'], "another sandbox's link was not touched");
await assert.rejects(kernel.writeSysctls(join(directory, 'missing'), []), { code: 'ENOENT' });
await assert.rejects(kernel.listLinksInside('/etc/passwd'), { code: 'EINVAL' });
await assert.rejects(kernel.runNft('this is no command', false), { stage: 'nft' });
await kernel.deleteLinks(['kt-none'], group);
await kernel.attachLinks(['kt-none'], bridgeIndex);
await kernel.setHairpin(['kt-none', 'kt-1']);

for (const wrong of [
  undefined,
  null,
  1,
  'text',
  {},
  { directory: 1 },
  { ...planFor(3), interface: {} },
  { ...planFor(3), sysctls: 7 },
])
  assert.throws(() => void kernel.makeSandbox(wrong as unknown as SandboxPlan), Error);
for (const name of [
  'destroySandboxes',
  'deleteLinks',
  'attachLinks',
  'setHairpin',
  'listLinksInside',
  'runNft',
] as const)
  assert.throws(() => (kernel[name] as unknown as (value: unknown) => unknown)(7), Error, name);
assert.throws(() => void kernel.ensureBridge({ ...bridge, mac: new Uint8Array(5) }), /6 bytes/);

const many = Array.from({ length: 40 }, (_, index) => index + 10);
await Promise.all(many.map((index) => (kernel satisfies Kernel).makeSandbox(planFor(index))));
assert.equal((await linkNames()).length, 41);
assert.equal(mounts(), 2 * 41);
const doomed = [1, ...many].map(doom);
await kernel.destroySandboxes(doomed, group);
await kernel.destroySandboxes(doomed, group);
assert.deepEqual(await linkNames(), []);
assert.equal(mounts(), 0);
for (const task of readdirSync('/proc/self/task'))
  assert.equal(readFileSync(`/proc/self/task/${task}/children`, 'utf8'), '', 'every child was reaped');
await kernel.deleteLinks(['kt0'], group);
await kernel.releaseDirectory(directory);
await kernel.releaseDirectory(directory);
