/** SHA-256 over the parts. Node's crypto takes 8 ms to load: a program that lives for one command loads it when there is need. */
export function sha256(...parts: readonly (string | Uint8Array)[]): Buffer {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
