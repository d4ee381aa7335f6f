import assert from 'node:assert/strict';
import { copyFileSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommand, separateProcesses } from '@gantry/test-harness';

const directory = fileURLToPath(new URL('../../../deploy/systemd/', import.meta.url));
const files = globSync(join(directory, '*.{service,target,slice}')).sort();
const services = [...separateProcesses, 'control'].map((name) => `gantry-${name}.service`).sort();

/** Of a unit, its settings, those that are repeated joined. */
function readUnit(name: string): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  for (const line of readFileSync(join(directory, name), 'utf8').split('\n')) {
    const match = /^(\w+)=(.*)$/.exec(line);
    if (match?.[1] !== undefined)
      settings.set(
        match[1],
        [settings.get(match[1]), match[2]].filter((text) => text !== undefined).join(' '),
      );
  }
  return settings;
}

/** What gives a unit mounts of its own, in which sandboxes that were pinned before are missing (systemd.exec(5)). */
const settingsWithMounts =
  /^(Protect(System|Home|KernelTunables|KernelModules|KernelLogs|ControlGroups|Proc)|Private(Tmp|Devices|Mounts|Users)|(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec)Paths|Root(Directory|Image)|MountFlags|Bind(ReadOnly)?Paths|TemporaryFileSystem|DynamicUser|MountAPIVFS)$/;

void describe('systemd units', () => {
  test('systemd understands every word of them', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'gantry-units-'));
    try {
      for (const file of files) {
        const target = join(copy, basename(file));
        copyFileSync(file, target);
        // Not installed here: any program does.
        writeFileSync(target, readFileSync(target, 'utf8').replace('=/usr/bin/gantryd', '=/bin/true'));
      }
      const copies = files.map((file) => join(copy, basename(file)));
      const { code, stdout, stderr } = await runCommand('systemd-analyze', ['verify', '--man=no', ...copies]);
      assert.equal(stdout + stderr, '');
      assert.equal(code, 0);
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  });

  test('there is one for each service that can run alone, and the target wants them all', () => {
    const present = files
      .map((file) => basename(file))
      .filter((name) => name.startsWith('gantry-') && name.endsWith('.service'));
    assert.deepEqual(
      present.filter((name) => name !== 'gantry-containers.service'),
      services,
    );
    assert.deepEqual(readUnit('gantry-services.target').get('Wants')?.split(' ').sort(), services);
  });

  test('one process and a process each exclude each other', () => {
    assert.deepEqual(
      readUnit('gantry.service').get('Conflicts')?.split(' ').sort(),
      [...services, 'gantry-services.target'].sort(),
    );
    for (const name of services) {
      assert.equal(readUnit(name).get('Conflicts'), 'gantry.service', name);
      assert.equal(readUnit(name).get('PartOf'), 'gantry-services.target', name);
    }
  });

  test('containers live apart from every process of Gantry, and none of the units has mounts of its own', () => {
    for (const name of ['gantry.service', ...services]) {
      const unit = readUnit(name);
      assert.equal(unit.get('KillMode'), 'process', name);
      assert.equal(
        unit.get('Environment'),
        'GANTRY_CGROUP_SUPERVISOR_CGROUP_ROOT=gantry.slice/gantry-containers.service/gantry',
        name,
      );
      assert.match(unit.get('Requires') ?? '', /gantry-containers\.service/, name);
      assert.deepEqual(
        [...unit.keys()].filter((key) => settingsWithMounts.test(key)),
        [],
        name,
      );
    }
    const holder = readUnit('gantry-containers.service');
    assert.equal(holder.get('Delegate'), 'yes');
    assert.equal(holder.get('Slice'), 'gantry.slice');
    assert.equal(holder.get('RemainAfterExit'), 'yes');
  });

  test('each service alone has a bounding set, and only the spawner, whose containers inherit it, may gain privileges', () => {
    for (const name of services) {
      const unit = readUnit(name);
      assert.notEqual(unit.get('CapabilityBoundingSet'), undefined, name);
      assert.equal(unit.get('NoNewPrivileges'), name === 'gantry-spawner.service' ? undefined : 'yes', name);
    }
  });
});
