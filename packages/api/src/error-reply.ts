import { GantryError, asGantryError, type ErrorCode } from '@gantry/protocol';
import type { ErrorObject } from 'ajv';
import type { FastifyError } from 'fastify';

/** The body of every failed answer, and of the `error` line or frame that ends a broken stream. */
export interface ErrorReply {
  readonly code: ErrorCode;
  /** One sentence naming the object. */
  readonly message: string;
  readonly operation: string;
  readonly object: string;
}

const statusByCode: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 409,
  resource_exhausted: 507,
  unavailable: 503,
  deadline_exceeded: 504,
  data_loss: 500,
  internal: 500,
};

export const statusOf = (code: ErrorCode): number => statusByCode[code];

export function errorReply({ code, message, operation, object }: GantryError): ErrorReply {
  return { code, message, operation, object };
}

/** Any thrown value as the one error: what the HTTP layer refuses is the caller's mistake, the rest is ours. */
export function toGantryError(error: unknown, operation: string): GantryError {
  if (error instanceof Error && !(error instanceof GantryError)) {
    const { statusCode } = error as FastifyError;
    if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
      return new GantryError({
        code: 'invalid_argument',
        operation,
        message: lowerFirst(error.message),
        cause: error,
      });
  }
  return asGantryError(error, operation);
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

const partNames: Readonly<Record<string, string>> = {
  body: 'the request body',
  querystring: 'the query',
  params: 'the path',
};

/** One sentence for the first thing a schema refused: names the key, not the schema. */
export function describeRefusal(errors: readonly ErrorObject[], part: string): string {
  const [first] = errors;
  const whole = partNames[part] ?? part;
  if (first === undefined) return `${whole} is not valid`;
  const path = first.instancePath
    .slice(1)
    .split('/')
    .filter((step) => step !== '')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .join('.');
  const where = path === '' ? whole : `"${path}"`;
  switch (first.keyword) {
    case 'additionalProperties':
      return `unknown key "${path === '' ? '' : `${path}.`}${String(paramsOf(first)['additionalProperty'])}" in ${whole}`;
    case 'required':
      return `${where} lacks "${String(paramsOf(first)['missingProperty'])}"`;
    case 'enum':
      return `${where} must be one of ${(paramsOf(first)['allowedValues'] as string[]).map((one) => JSON.stringify(one)).join(', ')}`;
    default:
      return `${where} ${first.message ?? 'is not valid'}`;
  }
}

const paramsOf = (error: ErrorObject): Record<string, unknown> => error.params as Record<string, unknown>;
