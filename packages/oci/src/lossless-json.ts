/** An integer of up to 64 bits out of JSON: a bigint where a number would have lost its low bits. */
export type WideInteger = number | bigint;

/** What a number is made of where a reviver sees it (ECMAScript's JSON.parse source text access). */
interface NumberSource {
  readonly source?: string;
}

/** `JSON.rawJSON` and the reviver's third argument, of which this TypeScript's library does not know yet. */
interface JsonWithSources {
  parse(text: string, reviver: (key: string, value: unknown, context: NumberSource) => unknown): unknown;
  rawJSON(text: string): unknown;
}
const json = JSON as unknown as JsonWithSources;

/** Fewer digits always fit; a reviver for nothing would cost as much as the parsing. */
const MAY_BE_WIDE = /[0-9]{16}/;
/** Longer ones are no integer of 64 bits, and reading them as one is work that a hostile text should not get done. */
const INTEGER = /^-?[0-9]{1,40}$/;

/** `JSON.parse`, but integers beyond 2^53 become bigints. Throws what `JSON.parse` throws. */
export function parseLossless(text: string): unknown {
  if (!MAY_BE_WIDE.test(text)) return JSON.parse(text) as unknown;
  return json.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && INTEGER.test(source)
      ? BigInt(source)
      : value,
  );
}

/** The other way: bigints are written as plain integers. */
export function stringifyLossless(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === 'bigint' ? json.rawJSON(String(item)) : item),
    indent,
  );
}
