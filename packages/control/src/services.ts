import { GantryError, type control } from '@gantry/protocol';
import { displayName } from './placement.js';
import { rollbackAskedFor } from './progress.js';
import { canonicalRegistry } from './registries.js';
import { makeId, type Reign } from './reign.js';
import { rolledBack } from './rollout.js';
import type { Change } from './state.js';
import { checkService, checkStackName, isSameSpec, taskPart } from './validate-service.js';

/** What users ask to run: every change is checked whole, then made whole. */

export async function deployStack(
  reign: Reign,
  { name, services, prune, credentials, expectedVersion }: control.DeployStackRequest,
): Promise<control.DeployStackResponse> {
  checkStackName(name);
  for (const spec of services) checkService(spec);
  const names = services.map((spec) => spec.name);
  const twice = names.find((one, index) => names.indexOf(one) !== index);
  if (twice !== undefined)
    throw refusal('invalid_argument', name, `stack ${name} names service ${twice} twice`);
  const response = await reign.transact(() => {
    const before = reign.state.stacks.get(name);
    if (before?.removing === true)
      throw refusal(
        'failed_precondition',
        name,
        `stack ${name} is still being removed: try again when it has gone`,
      );
    const isAt = before?.version ?? 0;
    if (expectedVersion !== undefined && expectedVersion !== isAt)
      throw refusal(
        'failed_precondition',
        name,
        `stack ${name} was deployed by somebody else meanwhile: it is at version ${isAt}, not ${expectedVersion}`,
      );
    const existing = new Map(
      [...reign.state.services.values()]
        .filter((one) => one.stack === name)
        .map((one) => [one.spec?.name ?? '', one]),
    );
    const changes: Change[] = [];
    const result = {
      created: [] as string[],
      updated: [] as string[],
      unchanged: [] as string[],
      removed: [] as string[],
    };
    for (const spec of services) {
      const known = existing.get(spec.name);
      existing.delete(spec.name);
      if (known === undefined) {
        const service = newService(name, spec, reign.nowMs());
        changes.push({ kind: 'service', id: service.id, value: service });
        result.created.push(spec.name);
        continue;
      }
      const changed = withSpec(known, spec, reign.nowMs());
      if (changed === known) result.unchanged.push(spec.name);
      else {
        changes.push({ kind: 'service', id: known.id, value: changed });
        result.updated.push(spec.name);
      }
    }
    for (const [serviceName, service] of existing) {
      if (!prune || service.removing) continue;
      changes.push({ kind: 'service', id: service.id, value: { ...service, removing: true } });
      result.removed.push(serviceName);
    }
    const kept = [...existing]
      .filter(([, service]) => !prune && !service.removing)
      .map(([serviceName]) => serviceName);
    const stack: control.Stack = {
      name,
      services: [...names, ...kept].sort(),
      version: isAt + 1,
      updatedUnixMs: reign.nowMs(),
      credentials: mergedCredentials(before?.credentials ?? [], credentials),
      removing: false,
    };
    changes.push({ kind: 'stack', id: name, value: stack });
    return { changes, result: { ...result, stack: withoutSecrets(stack) } };
  });
  reign.events.publish('stack', 'deploy', name, { name });
  return response;
}

export async function removeStack(reign: Reign, name: string): Promise<control.RemoveStackResponse> {
  const services = await reign.transact(() => {
    const stack = reign.state.stacks.get(name);
    if (stack === undefined) throw refusal('not_found', name, `there is no stack ${name}`);
    const own = [...reign.state.services.values()].filter((one) => one.stack === name);
    const changes: Change[] = own.map((one) => ({
      kind: 'service',
      id: one.id,
      value: { ...one, removing: true },
    }));
    changes.push({ kind: 'stack', id: name, value: { ...stack, removing: true } });
    return { changes, result: own.map(({ spec }) => spec?.name ?? '') };
  });
  reign.events.publish('stack', 'remove', name, { name });
  return { services };
}

export function updateService(
  reign: Reign,
  { service: reference, replicas, image, rollback, force, credentials }: control.UpdateServiceRequest,
): Promise<control.UpdateServiceResponse> {
  return reign.transact(() => {
    const service = findService(reign, reference);
    const { spec } = service;
    if (service.removing || spec === undefined)
      throw refusal('failed_precondition', reference, `service ${reference} is being removed`);
    if (replicas !== undefined && spec.mode === 'SERVICE_MODE_GLOBAL')
      throw refusal(
        'invalid_argument',
        reference,
        `service ${reference} is global: it runs once on every node and cannot be scaled`,
      );
    const nowMs = reign.nowMs();
    let changed = service;
    if (rollback) {
      if (service.previousSpec === undefined)
        throw refusal(
          'failed_precondition',
          reference,
          `service ${reference} has no earlier version to roll back to`,
        );
      changed = rolledBack(service, rollbackAskedFor, nowMs);
    }
    const wish: control.ServiceSpec = {
      ...(changed.spec ?? spec),
      ...(replicas === undefined ? {} : { replicas }),
    };
    if (image !== '' && wish.container !== undefined) wish.container = { ...wish.container, image };
    checkService(wish);
    changed = withSpec(changed, wish, nowMs);
    if (force && !rollback) changed = anew(changed, nowMs);
    const changes: Change[] =
      changed === service ? [] : [{ kind: 'service', id: service.id, value: changed }];
    const stack = reign.state.stacks.get(service.stack);
    if (credentials.length > 0 && stack !== undefined) {
      changes.push({
        kind: 'stack',
        id: stack.name,
        value: { ...stack, credentials: mergedCredentials(stack.credentials, credentials) },
      });
    }
    return { changes, result: { service: changed } };
  });
}

export async function removeService(reign: Reign, reference: string): Promise<void> {
  await reign.transact(() => {
    const service = findService(reign, reference);
    const changes: Change[] = [{ kind: 'service', id: service.id, value: { ...service, removing: true } }];
    const stack = reign.state.stacks.get(service.stack);
    if (stack !== undefined) {
      const services = stack.services.filter((name) => name !== service.spec?.name);
      changes.push({
        kind: 'stack',
        id: stack.name,
        value: { ...stack, services, version: stack.version + 1 },
      });
    }
    return { changes, result: undefined };
  });
}

/** By full id, "STACK_NAME", or unique prefix of an id. */
export function findService(reign: Reign, reference: string): control.Service {
  const services = [...reign.state.services.values()];
  const exact = services.find(
    (one) => one.id === reference || displayName(one.stack, one.spec?.name ?? '') === reference,
  );
  if (exact !== undefined) return exact;
  const [first, second] = reference.length < 4 ? [] : services.filter(({ id }) => id.startsWith(reference));
  if (second !== undefined)
    throw refusal('invalid_argument', reference, `several services have ids that begin with ${reference}`);
  if (first === undefined) throw refusal('not_found', reference, `there is no service ${reference}`);
  return first;
}

export const withoutSecrets = (stack: control.Stack): control.Stack => ({ ...stack, credentials: [] });

/** Those of a stack after some were given: a registry that none was given for keeps its own. */
function mergedCredentials(
  before: readonly control.RegistryCredential[],
  given: readonly control.RegistryCredential[],
): control.RegistryCredential[] {
  const registries = new Set(given.map(({ registry }) => canonicalRegistry(registry)));
  return [...before.filter(({ registry }) => !registries.has(canonicalRegistry(registry))), ...given];
}

function newService(stack: string, spec: control.ServiceSpec, nowMs: number): control.Service {
  return {
    id: makeId(),
    stack,
    spec,
    version: 1,
    taskVersion: 1,
    previousSpec: undefined,
    previousTaskVersion: 0,
    updateStatus: undefined,
    createdUnixMs: nowMs,
    updatedUnixMs: nowMs,
    removing: false,
  };
}

/** The service with another spec; the same object when nothing changes. */
function withSpec(service: control.Service, spec: control.ServiceSpec, nowMs: number): control.Service {
  if (service.removing)
    throw refusal(
      'failed_precondition',
      spec.name,
      `service ${spec.name} is still being removed: try again when it has gone`,
    );
  if (isSameSpec(service.spec, spec)) return service;
  if (service.spec?.mode !== spec.mode)
    throw refusal(
      'failed_precondition',
      spec.name,
      `service ${spec.name} cannot change between replicated and global: remove it first`,
    );
  const next = { ...service, spec, version: service.version + 1, updatedUnixMs: nowMs };
  if (taskPart(service.spec) === taskPart(spec)) return next;
  return {
    ...anew(next, nowMs),
    previousSpec: service.spec,
    previousTaskVersion: service.taskVersion,
  };
}

/** Wants every task made anew. */
function anew(service: control.Service, nowMs: number): control.Service {
  const version = service.version + 1;
  return {
    ...service,
    version,
    // Higher than any before, also after a roll-back to an earlier one.
    taskVersion: version,
    updatedUnixMs: nowMs,
    updateStatus: { state: 'updating', message: '', startedUnixMs: nowMs, completedUnixMs: 0 },
  };
}

function refusal(code: GantryError['code'], object: string, message: string): GantryError {
  return new GantryError({ code, operation: 'change services', object, message });
}
