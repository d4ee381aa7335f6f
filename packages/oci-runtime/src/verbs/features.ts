import { existsSync } from 'node:fs';
import { cgroupFeatures } from '@gantry/cgroup-supervisor/runtime';
import { CAPABILITIES } from '@gantry/oci';
import { namespaceFlag, SECCOMP_WORDS, supportedSeccompFlags } from '@gantry/spawner/runtime';
import { mountWords } from '../mount-words.js';
import { print } from '../print.js';
import type { Call } from '../program.js';
import { newestSpec, oldestSpec, version } from '../version.js';

/** The runtime-spec's features structure: what we know, and of the kernel what it has. */
export function features({ runtime }: Call): number {
  const { libraryVersion } = runtime.native.seccompFacts();
  const answer = {
    ociVersionMin: oldestSpec,
    ociVersionMax: newestSpec,
    hooks: ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'],
    mountOptions: mountWords(),
    linux: {
      namespaces: Object.keys(namespaceFlag).sort(),
      capabilities: CAPABILITIES,
      cgroup: cgroupFeatures(),
      seccomp: {
        enabled: true,
        actions: SECCOMP_WORDS.actions,
        operators: SECCOMP_WORDS.operators,
        archs: SECCOMP_WORDS.architectures,
        knownFlags: SECCOMP_WORDS.flags,
        supportedFlags: supportedSeccompFlags(runtime.native),
      },
      apparmor: { enabled: existsSync('/sys/kernel/security/apparmor') },
      selinux: { enabled: existsSync('/sys/fs/selinux/enforce') },
      intelRdt: { enabled: false },
      mountExtensions: { idmap: { enabled: true } },
    },
    annotations: {
      'org.gantry.version': version,
      'io.github.seccomp.libseccomp.version': libraryVersion,
    },
    potentiallyUnsafeConfigAnnotations: ['org.systemd.property.'],
  };
  print(`${JSON.stringify(answer, undefined, 2)}\n`);
  return 0;
}
