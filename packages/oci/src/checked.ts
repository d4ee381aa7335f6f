/** A value, or the one sentence that says why there is none: being invalid is a normal answer here. */
export type Checked<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

export function valid<T>(value: T): Checked<T> {
  return { ok: true, value };
}

export function invalid(reason: string): Checked<never> {
  return { ok: false, reason };
}
