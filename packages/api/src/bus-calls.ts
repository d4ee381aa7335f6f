import type { Bus, ClientStream } from '@gantry/bus';
import { GantryError, type Init, type Method } from '@gantry/protocol';
import type { FastifyRequest } from 'fastify';

/** How long calls may take, milliseconds. */
export const deadlines = {
  /** Answered from memory or a few files. */
  quickMs: 30_000,
  /** Start, removal, and what else waits for the kernel. */
  slowMs: 120_000,
  /** Stopping with the container's own patience, whatever it is; walks of whole directories. */
  patientMs: 3_600_000,
} as const;

/** Calls on behalf of one HTTP request: its id follows the work through all services' logs. */
export interface Caller {
  call<Request, Response>(
    method: Method<Request, Response, 'unary'>,
    request: Init<Request>,
    deadlineMs?: number,
  ): Promise<Response>;
  open<Request, Response, Kind extends 'server-stream' | 'duplex'>(
    method: Method<Request, Response, Kind>,
    request: Init<Request>,
    signal: AbortSignal,
  ): Promise<ClientStream<Request, Response>>;
}

/** `actor` names who asked, for the audit log of the cluster. */
export function callerFor(bus: Bus, requestId: string, actor: string): Caller {
  return {
    call: (method, request, deadlineMs = deadlines.quickMs) =>
      bus.call(method, request, { deadlineMs, requestId, actor }),
    open: (method, request, signal) => bus.openStream(method, request, { signal, requestId, actor }),
  };
}

export const callerOf = (bus: Bus, request: FastifyRequest): Caller =>
  callerFor(bus, request.id, request.actor);

interface Page {
  readonly nextPageToken: string;
}

/** Pages are the bus's concern: over HTTP a list is whole. */
export async function allPages<P extends Page, Item>(
  fetchPage: (pageToken: string) => Promise<P>,
  itemsOf: (page: P) => readonly Item[],
): Promise<Item[]> {
  const items: Item[] = [];
  let token = '';
  do {
    const page = await fetchPage(token);
    items.push(...itemsOf(page));
    token = page.nextPageToken;
  } while (token !== '');
  return items;
}

/** "label=a=b" as the key "label" and the value "a=b". */
export function parseFilters(
  filters: readonly string[] | undefined,
  operation: string,
): Init<{ key: string; value: string }>[] {
  return (filters ?? []).map((filter) => {
    const at = filter.indexOf('=');
    if (at <= 0)
      throw new GantryError({
        code: 'invalid_argument',
        operation,
        object: filter,
        message: `filter "${filter}" is not of the form KEY=VALUE`,
      });
    return { key: filter.slice(0, at), value: filter.slice(at + 1) };
  });
}
