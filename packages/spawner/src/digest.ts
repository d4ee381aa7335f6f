import { loadNative } from './native.js';

/** SHA-256 over the parts, by the addon: whoever asks has loaded it anyway. */
export function sha256(...parts: readonly (string | Uint8Array)[]): Buffer {
  const bytes = parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
  return loadNative().sha256(Buffer.concat(bytes));
}
