import type { Init, control, node } from '@gantry/protocol';
import { present } from './context.js';
import type { Field } from './field.js';
import { readConstraints, readSpread } from './placement.js';

export interface Deploy {
  readonly mode: control.ServiceMode;
  readonly replicas: number | undefined;
  readonly labels: Record<string, string>;
  readonly reservation: Init<control.Reservation>;
  readonly placement: Init<control.Placement>;
  readonly update: Init<control.UpdateConfig>;
  readonly restartPolicy: Init<node.RestartPolicy>;
}

const maximumReplicas = 100_000;
const uint32 = { maximum: 0xffff_ffff };

/** `deploy`, and the keys beside it that say the same: restart and scale. */
export function readDeploy(service: Field): Deploy {
  const deploy = service.get('deploy');
  deploy?.entries();
  const global = deploy?.get('mode')?.oneOf(['replicated', 'global']) === 'global';
  deploy?.get('endpoint_mode')?.parse((text) =>
    text === 'dnsrr'
      ? { ok: true, value: text }
      : {
          ok: false,
          why: `is ${JSON.stringify(text)}; only dnsrr is done: a name has the addresses of all its tasks`,
        },
  );
  return {
    mode: global ? 'SERVICE_MODE_GLOBAL' : 'SERVICE_MODE_REPLICATED',
    replicas: readReplicas(service, deploy, global),
    labels: readLabels(deploy?.get('labels')),
    reservation: readReservation(deploy?.get('resources')?.get('reservations')),
    placement: readPlacement(deploy?.get('placement')),
    update: readUpdate(deploy?.get('update_config')),
    restartPolicy: readRestartPolicy(service.get('restart'), deploy?.get('restart_policy')),
  };
}

function readReplicas(service: Field, deploy: Field | undefined, global: boolean): number | undefined {
  const field = deploy?.get('replicas');
  const scaleField = service.get('scale');
  const replicas = field?.integer({ maximum: maximumReplicas });
  const scale = scaleField?.integer({ maximum: maximumReplicas });
  if (global) {
    (field ?? scaleField)?.refuseKey('has no meaning in mode global, which has one task on every node');
    return undefined;
  }
  if (replicas !== undefined && scale !== undefined && replicas !== scale)
    scaleField?.refuse(`is ${scale}, but deploy.replicas is ${replicas}`);
  return replicas ?? scale ?? 1;
}

/** Labels whose name begins so say whose task a container is. */
const ownPrefix = 'gantry.';

export function readLabels(field: Field | undefined): Record<string, string> {
  if (field === undefined) return {};
  const pairs = [...field.pairs()].map(([name, { value, field: place }]) => {
    if (name.startsWith(ownPrefix))
      place.refuse(`has label ${name}; labels that begin with ${ownPrefix} are Gantry's own`);
    return [name, value ?? ''] as const;
  });
  return Object.fromEntries(pairs);
}

function readReservation(field: Field | undefined): Init<control.Reservation> {
  field?.entries();
  const cpus = field?.get('cpus')?.cpus();
  const memoryBytes = field?.get('memory')?.bytes();
  return { cpuMillis: cpus === undefined ? 0 : Math.round(cpus * 1000), memoryBytes: memoryBytes ?? 0 };
}

function readPlacement(field: Field | undefined): Init<control.Placement> {
  field?.entries();
  const constraints = field?.get('constraints');
  const preferences = field?.get('preferences');
  return present({
    constraints: constraints === undefined ? [] : readConstraints(constraints),
    spread: preferences === undefined ? [] : readSpread(preferences),
    maxReplicasPerNode: field?.get('max_replicas_per_node')?.integer(uint32),
  });
}

/** docker replaces one task at a time unless told otherwise. */
function readUpdate(field: Field | undefined): Init<control.UpdateConfig> {
  field?.entries();
  return present({
    parallelism: field?.get('parallelism')?.integer(uint32) ?? 1,
    delayMs: field?.get('delay')?.durationMs(),
    failureAction: field?.get('failure_action')?.oneOf(['pause', 'continue', 'rollback']),
    monitorMs: field?.get('monitor')?.durationMs(),
    maxFailureRatio: field?.get('max_failure_ratio')?.number({ minimum: 0, maximum: 1 }),
    order: field?.get('order')?.oneOf(['stop-first', 'start-first']),
  });
}

/** A stack's tasks start again whatever their end, as Swarm's, unless the file says otherwise. */
function readRestartPolicy(restart: Field | undefined, policy: Field | undefined): Init<node.RestartPolicy> {
  const simple = restart?.parse((text) => {
    const match = /^(?:(no|always|unless-stopped)|(on-failure)(?::(\d{1,9}))?)$/.exec(text);
    if (match === null)
      return {
        ok: false,
        why: `is ${JSON.stringify(text)}; no, always, on-failure[:MAXIMUM] and unless-stopped are done`,
      };
    // Control stops tasks by taking them away: none is "stopped" and waits.
    const name = match[1] === 'unless-stopped' ? 'always' : (match[1] ?? match[2] ?? 'no');
    return {
      ok: true,
      value: present({ name, maximumRetryCount: match[3] === undefined ? undefined : Number(match[3]) }),
    };
  }, 'a text ("no" in quotes)');
  if (policy === undefined) return simple ?? { name: 'always' };
  policy.entries();
  const condition = policy.get('condition')?.oneOf(['none', 'on-failure', 'any']) ?? 'any';
  const name = { none: 'no', 'on-failure': 'on-failure', any: 'always' }[condition];
  const attempts = policy.get('max_attempts');
  const maximumRetryCount = attempts?.integer(uint32);
  const delayMs = policy.get('delay')?.durationMs();
  const windowMs = policy.get('window')?.durationMs();
  if (name === 'no') return { name };
  return present({ name, maximumRetryCount: maximumRetryCount || undefined, delayMs, windowMs });
}
