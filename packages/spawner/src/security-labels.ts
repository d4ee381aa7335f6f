import type { RuntimeProcess } from '@gantry/oci';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';

/** Which security modules the kernel runs with. */
export interface SecurityModules {
  readonly apparmor: boolean;
  readonly selinux: boolean;
}

/** Written into the process's own attributes as the last thing before it executes the command. */
export function writeSecurityLabels(
  plan: PlanWriter,
  { apparmorProfile = '', selinuxLabel = '' }: RuntimeProcess,
  modules: SecurityModules,
): void {
  // Without AppArmor everything is unconfined.
  if (apparmorProfile !== '' && (modules.apparmor || apparmorProfile !== 'unconfined')) {
    if (!modules.apparmor)
      refuse(
        `process.apparmorProfile is ${JSON.stringify(apparmorProfile)}, but the kernel runs without AppArmor`,
      );
    plan.add(planTag.securityLabel, (record) =>
      record.string('apparmor/exec').string(`exec ${withoutNul(apparmorProfile, 'process.apparmorProfile')}`),
    );
  }
  if (selinuxLabel !== '') {
    if (!modules.selinux)
      refuse(`process.selinuxLabel is ${JSON.stringify(selinuxLabel)}, but the kernel runs without SELinux`);
    plan.add(planTag.securityLabel, (record) =>
      record.string('exec').string(withoutNul(selinuxLabel, 'process.selinuxLabel')),
    );
  }
}
