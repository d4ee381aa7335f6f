import { isGantryError } from '@gantry/protocol';
import type { Caller } from './context.js';

/** The first try's share of a call's deadline; each further one has twice as much. */
const FIRST_TRY_MS = 4_000;
const DEFAULT_DEADLINE_MS = 30_000;
/** With less than this left another try is pointless. */
const SHORTEST_TRY_MS = 50;

/**
 * Calls that a dying service takes with it are never answered, and nothing tells so. All that the agent calls may be
 * repeated, so it asks again within the deadline: by then the service has been started again.
 */
export function patientCaller(bus: Caller): Caller {
  return {
    openStream: bus.openStream.bind(bus),
    async call(method, request, options = {}) {
      const end = performance.now() + (options.deadlineMs ?? DEFAULT_DEADLINE_MS);
      for (let tryMs = FIRST_TRY_MS; ; tryMs *= 2) {
        const deadlineMs = Math.max(1, Math.min(tryMs, Math.ceil(end - performance.now())));
        try {
          return await bus.call(method, request, { ...options, deadlineMs });
        } catch (error) {
          const late = isGantryError(error, 'deadline_exceeded') && options.signal?.aborted !== true;
          if (!late || end - performance.now() < SHORTEST_TRY_MS) throw error;
        }
      }
    },
  };
}
