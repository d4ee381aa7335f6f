import type { CallContext } from '@gantry/bus';
import { asGantryError, type control } from '@gantry/protocol';
import type { Reign } from './reign.js';

type Audited = <T>(
  context: CallContext,
  operation: string,
  object: string,
  act: () => Promise<T>,
) => Promise<T>;

/** Notes who has asked for what, and what became of it. */
export function auditor(reign: Pick<Reign, 'store'>): Audited {
  return async (context, operation, object, act) => {
    try {
      const answer = await act();
      noteDeed(reign, context, { operation, object, result: 'ok' });
      return answer;
    } catch (error) {
      noteDeed(reign, context, { operation, object, result: asGantryError(error, operation).code });
      throw error;
    }
  };
}

/** One entry of the audit, which never keeps a deed from being done. */
export function noteDeed(
  { store }: Pick<Reign, 'store'>,
  { actor, caller, requestId, logger }: CallContext,
  deed: Pick<control.AuditEntry, 'operation' | 'object' | 'result'>,
): void {
  store
    .appendAudit({ timeUnixMs: Date.now(), actor: actor === '' ? caller : actor, requestId, ...deed })
    .catch((error: unknown) =>
      logger.error(
        { operation: deed.operation, reason: asGantryError(error, 'audit').message },
        'audit not written',
      ),
    );
}
