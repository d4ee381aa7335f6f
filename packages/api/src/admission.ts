import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Bus } from '@gantry/bus';
import { parseToken } from '@gantry/membership';
import { GantryError, node } from '@gantry/protocol';

/** Asked by a node that is no member yet: what lets it in is the join token inside the request. */
const joinPath = '/v1/cluster/members';
const readingMethods: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/**
 * Who asks, as the audit log names them. On the unix socket that is whoever may open it; over TLS the bearer of a token
 * of the cluster, who must be an administrator for anything but reading. Rejects with `permission_denied`.
 */
export async function admit(bus: Bus, request: IncomingMessage): Promise<string> {
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
  if (role !== 'admin' && !readingMethods.has(method))
    throw refused(path, `token ${name} may read only; ${method} ${path} needs a token of the role admin`);
  return `token ${name}`;
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
