import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Bus } from '@gantry/bus';
import { parseToken } from '@gantry/membership';
import { GantryError, node } from '@gantry/protocol';

/** Asked by a node that is no member yet: what lets it in is the join token inside the request. */
const joinPath = '/v1/cluster/members';
const readingMethods: ReadonlySet<string> = new Set(['GET', 'HEAD']);
const metricsRoutes: ReadonlySet<string> = new Set(['/v1/metrics/:service', '/v1/discovery/prometheus']);

/** Requests over TLS whose bearer was let in. */
const known = new WeakSet<IncomingMessage>();

/**
 * Who asks, as the audit log names them. On the unix socket that is whoever may open it; over TLS the bearer of a token
 * of the cluster, whose role must allow it. `route` is the pattern that the router found: no spelling of a path passes for
 * another's. Rejects with `permission_denied`.
 */
export async function admit(bus: Bus, request: IncomingMessage, route?: string): Promise<string> {
  if (!isOverTls(request)) return `root on ${bus.nodeId}`;
  const { method = '', url = '' } = request;
  const path = url.split('?')[0] ?? '';
  if (method === 'POST' && path === joinPath) return 'a node that joins';
  const token = bearerOf(request);
  const { role, name } = await bus.call(node.Membership.methods.CheckApiToken, {
    id: token.id,
    secret: token.secret,
  });
  if (role === '') throw unknown(path, 'this token is unknown, was revoked or has ended');
  const wanting = wantingRole(role, method, route);
  if (wanting !== undefined)
    throw refused(path, `token ${name} ${wanting.may} only; ${method} ${path} needs ${wanting.needs}`);
  known.add(request);
  return `token ${name}`;
}

/** Whether the request comes from a bearer of a token who was let in: of others nothing is waited for. */
export const isKnown = (request: IncomingMessage): boolean => known.has(request);

/** What a role may, when it may not do this. A role that this release does not know may nothing. */
function wantingRole(
  role: string,
  method: string,
  route: string | undefined,
): { readonly may: string; readonly needs: string } | undefined {
  const reads = readingMethods.has(method);
  const needs = `a token of the role ${reads ? 'read or admin' : 'admin'}`;
  switch (role) {
    case 'admin':
      return undefined;
    case 'read':
      return reads ? undefined : { may: 'may read', needs };
    case 'metrics':
      // A worker is sent this token with every scrape, and may be in strange hands.
      return method === 'GET' && route !== undefined && metricsRoutes.has(route)
        ? undefined
        : { may: 'may read metrics', needs };
    default:
      return { may: `has the unknown role ${JSON.stringify(role)}`, needs };
  }
}

const isOverTls = ({ socket }: IncomingMessage): boolean => (socket as Partial<TLSSocket>).encrypted === true;

function bearerOf({ headers, url }: IncomingMessage): { readonly id: string; readonly secret: string } {
  const { authorization = '' } = headers;
  const text = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (text === undefined)
    throw unknown(
      url ?? '',
      'this door needs a token: set GANTRY_TOKEN, or send "Authorization: Bearer ga1..."',
    );
  const token = parseToken(text);
  if (token?.kind !== 'ga1') throw unknown(url ?? '', 'this is no api token: one begins with "ga1."');
  return token;
}

/** Who does not say who he is, in a way that holds, may come again with a token: HTTP's 401. */
const authentication = 'authenticate';
export const asksForToken = ({ code, operation }: GantryError): boolean =>
  code === 'permission_denied' && operation === authentication;

const unknown = (object: string, message: string): GantryError =>
  new GantryError({ code: 'permission_denied', operation: authentication, object, message });
const refused = (object: string, message: string): GantryError =>
  new GantryError({ code: 'permission_denied', operation: 'admit', object, message });
