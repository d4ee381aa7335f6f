import { execFileSync } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RuntimeProcess, RuntimeSpec } from '@gantry/oci';
import { ALL_CAPABILITIES, handleOf, processOf, SpawnerFixture, specOf } from './spawner-fixture.js';

type StartOptions = NonNullable<Parameters<SpawnerFixture['start']>[1]>;

/** Who attacks. Neither has a seccomp filter: every protection has to hold without it. */
export const attackers = {
  /** Every capability there is, in a user namespace: what `--privileged` would be without lending out the host. */
  almighty: 'root with all capabilities in a user namespace',
  /** The host's root with docker's capabilities, as callers of an OCI runtime ask for by default. */
  rootful: "the host's root with default capabilities",
} as const;
export type Attacker = keyof typeof attackers;

const ALL = [...ALL_CAPABILITIES];

export function processBy(attacker: Attacker, args: readonly string[]): RuntimeProcess {
  if (attacker === 'rootful') return processOf(args, { noNewPrivileges: false });
  const capabilities = { bounding: ALL, effective: ALL, permitted: ALL, inheritable: [], ambient: [] };
  return processOf(args, { noNewPrivileges: false, capabilities });
}

/** A spawner whose image has the hostile program as /bin/attacker, and a file that only the host has. */
export class EscapeFixture {
  readonly base: SpawnerFixture;
  /** Absolute; whoever sees it is out. */
  readonly marker: string;
  readonly #root: string;

  private constructor(base: SpawnerFixture) {
    this.base = base;
    this.marker = join(base.directory, 'host-only');
    writeFileSync(this.marker, 'of the host\n');
    const source = fileURLToPath(new URL('../native/hosted/attacker.c', import.meta.url));
    const program = join(base.layer, 'bin/attacker');
    const flags = ['-std=gnu11', '-D_GNU_SOURCE', '-O1', '-static'];
    execFileSync('gcc', [...flags, source, '-o', program]);
    this.#root = base.makeDirectory('rootful-image');
    cpSync(base.layer, this.#root, { recursive: true, verbatimSymlinks: true });
  }

  static async make(): Promise<EscapeFixture> {
    return new EscapeFixture(await SpawnerFixture.make());
  }

  /** The image again, for a test to spoil. */
  image(name: string): string {
    const path = this.base.makeDirectory(name);
    cpSync(this.base.layer, path, { recursive: true, verbatimSymlinks: true });
    return path;
  }

  specBy(attacker: Attacker, args: readonly string[], more: Partial<RuntimeSpec> = {}): RuntimeSpec {
    const spec = specOf(args, more);
    const namespaces = (spec.linux?.namespaces ?? []).filter(
      ({ type }) => attacker === 'almighty' || (type !== 'user' && type !== 'network'),
    );
    const mounts = (spec.mounts ?? []).map((mount) =>
      attacker === 'almighty' || mount.options === undefined
        ? mount
        : // Nothing is mapped without a user namespace.
          { ...mount, options: mount.options.filter((option) => option !== 'idmap') },
    );
    return {
      ...spec,
      mounts,
      process: { ...processBy(attacker, args), ...more.process },
      root: { path: this.#root },
      linux: { ...spec.linux, namespaces },
    };
  }

  startOptions(attacker: Attacker, image?: string): StartOptions {
    const rootfs = {
      lowerdirs: [handleOf(image ?? this.#root)],
      writable: handleOf(this.base.makeWritable()),
    };
    return attacker === 'almighty'
      ? { rootfs }
      : { rootfs, userNamespace: undefined, networkNamespace: undefined };
  }

  start(attacker: Attacker, spec: RuntimeSpec, image?: string) {
    return this.base.start(spec, this.startOptions(attacker, image));
  }

  run(attacker: Attacker, spec: RuntimeSpec, image?: string) {
    return this.base.run(spec, this.startOptions(attacker, image));
  }

  /** To its end; what it wrote, both streams in one. */
  async exec(containerId: string, process: RuntimeProcess) {
    const { execId, exec } = await this.base.exec(containerId, process, { holdOutput: true });
    const { stdout, stderr, exitCode } = await this.base.attach({ containerId, execId });
    return { exec, output: stdout + stderr, exitCode };
  }

  remove(): Promise<void> {
    return this.base.remove();
  }
}
