import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isRoot } from '@gantry/test-harness';
import { sweepDeadSessions } from './dead-sessions.js';

const skip = isRoot ? false : 'this machine cannot be asked: cgroups need root';

test(
  'cgroups of a killed test process go, with what runs in them, and those of a living one stay',
  { skip },
  async () => {
    const hierarchy = ['', ...readdirSync('/sys/fs/cgroup')]
      .map((name) => join('/sys/fs/cgroup', name))
      .find((path) => existsSync(join(path, 'cgroup.procs')));
    assert.ok(hierarchy !== undefined);
    const { pid: dead } = spawnSync('true');
    const prefix = `gantry-dead-${process.pid}`;
    const [left, living] = [
      join(hierarchy, `${prefix}-${dead}-podman`),
      join(hierarchy, `${prefix}-${process.pid}`),
    ];
    mkdirSync(join(left, 'inner'), { recursive: true });
    mkdirSync(living);
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    writeFileSync(join(left, 'inner/cgroup.procs'), String(child.pid));
    const ended = once(child, 'exit');
    for (const end = Date.now() + 5000; existsSync(left) && Date.now() < end;) {
      sweepDeadSessions(prefix);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await ended;
    assert.equal(existsSync(left), false);
    assert.equal(existsSync(living), true);
    rmdirSync(living);
  },
);
