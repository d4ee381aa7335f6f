import { GantryError, type ErrorCode } from './error.js';
import * as common from './generated/common.js';

const toWire = (code: ErrorCode): common.ErrorCode => `ERROR_CODE_${code.toUpperCase()}` as common.ErrorCode;

function fromWire(code: common.ErrorCode): ErrorCode {
  if (code === 'ERROR_CODE_UNSPECIFIED') return 'internal';
  return code.slice('ERROR_CODE_'.length).toLowerCase() as ErrorCode;
}

/** The body of a failed reply. */
export function encodeError(error: GantryError): Uint8Array {
  return common.ErrorReplyCodec.encode({
    code: toWire(error.code),
    message: error.message,
    operation: error.operation,
    object: error.object,
    retryable: error.retryable,
  });
}

export function decodeError(bytes: Uint8Array): GantryError {
  const reply = common.ErrorReplyCodec.decode(bytes);
  return new GantryError({ ...reply, code: fromWire(reply.code) });
}
