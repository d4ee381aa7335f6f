import { GantryError, control } from '@gantry/protocol';

const namePattern = /^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$/;
const stackPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const mostReplicas = 100_000;
/** A service's record holds two, and messages hold them among other things: nats takes 640 KiB. */
const mostSpecBytes = 96 * 1024;
const constraintKeys = /^node\.(id|hostname|role|platform\.os|platform\.arch|labels\.[A-Za-z0-9._/-]+)$/;

export function checkStackName(name: string): void {
  if (!stackPattern.test(name))
    throw refusal(
      name,
      `"${name}" cannot be the name of a stack: lower-case letters, digits, - and _, at most 63`,
    );
}

/** Throws `invalid_argument` naming the service and what is wrong with it. The container's own wishes are the agent's to check. */
export function checkService(spec: control.ServiceSpec): void {
  const { name } = spec;
  if (!namePattern.test(name))
    throw refusal(name, `"${name}" cannot be the name of a service: letters, digits, - and _, at most 63`);
  const wrong = (what: string): never => {
    throw refusal(name, `service ${name}: ${what}`);
  };
  if ((spec.container?.image ?? '') === '') wrong('it names no image');
  if (spec.mode === 'SERVICE_MODE_UNSPECIFIED') wrong('it has no mode');
  if (spec.replicas > mostReplicas) wrong(`${spec.replicas} replicas are more than ${mostReplicas}`);
  for (const { key, operator } of spec.placement?.constraints ?? []) {
    if (!constraintKeys.test(key)) wrong(`constraint key ${key} is not known`);
    if (operator !== '==' && operator !== '!=') wrong(`constraint operator ${operator} is not == or !=`);
  }
  for (const key of spec.placement?.spread ?? [])
    if (!constraintKeys.test(key)) wrong(`spread key ${key} is not known`);
  const update = spec.update;
  if (update !== undefined) {
    if (!['', 'pause', 'continue', 'rollback'].includes(update.failureAction))
      wrong(`failure action ${update.failureAction} is not pause, continue or rollback`);
    if (!['', 'stop-first', 'start-first'].includes(update.order))
      wrong(`update order ${update.order} is not stop-first or start-first`);
    if (!(update.maxFailureRatio >= 0 && update.maxFailureRatio <= 1))
      wrong(`max failure ratio ${update.maxFailureRatio} is not between 0 and 1`);
  }
  if (!['', 'always', 'missing', 'never'].includes(spec.pullPolicy))
    wrong(`pull policy ${spec.pullPolicy} is not always, missing or never`);
  if (spec.container?.autoRemove === true) wrong('tasks cannot remove themselves');
  const bytes = control.ServiceSpecCodec.encode(spec).length;
  if (bytes > mostSpecBytes)
    wrong(`what it says takes ${bytes} bytes, and a service may take ${mostSpecBytes} at most`);
}

/** The part of a spec that a task is made of: a change of it makes tasks anew. */
export function taskPart(spec: control.ServiceSpec | undefined): string {
  const { container, reservation, placement, pullPolicy, mode } = spec ?? {};
  return canonical({ container, reservation, constraints: placement?.constraints ?? [], pullPolicy, mode });
}

export const isSameSpec = (a: control.ServiceSpec | undefined, b: control.ServiceSpec): boolean =>
  canonical(a) === canonical(b);

/** The same text for the same content, whatever the order of its keys; what is absent or empty says the same. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(',')}}`;
}

function refusal(object: string, message: string): GantryError {
  return new GantryError({ code: 'invalid_argument', operation: 'deploy', object, message });
}
