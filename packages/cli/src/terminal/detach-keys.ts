import { UsageFailure } from '../failures.js';

/** Ctrl-P Ctrl-Q. */
export const usualDetachKeys = [0x10, 0x11];

/** "ctrl-p,ctrl-q", "a,b": docker's spelling. Empty: none. */
export function parseDetachKeys(text: string): number[] {
  if (text === '') return [];
  return text.split(',').map((key) => {
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control !== undefined) return control.charCodeAt(0) & 0x1f;
    if (key.length === 1) return key.charCodeAt(0);
    throw new UsageFailure(`--detach-keys: "${key}" is neither a letter nor ctrl- and a letter`);
  });
}

/** Watches typed bytes for the keys that mean "leave". Bytes that may be the begin of them are held back. */
export class DetachWatcher {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** What the process inside shall get, and whether the keys are complete. */
  filter(bytes: Uint8Array): { readonly pass: Uint8Array; readonly detach: boolean } {
    if (this.#keys.length === 0) return { pass: bytes, detach: false };
    const pass: number[] = [];
    for (const byte of bytes) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched += 1;
        if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detach: true };
        continue;
      }
      pass.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detach: false };
  }
}
