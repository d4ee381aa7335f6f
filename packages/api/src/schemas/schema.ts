/** A JSON schema, as far as the api uses it. */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean' | 'number';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
}

/** Every property of a message has a schema, so that a new field of the contract cannot be forgotten here. */
export type PropertiesOf<T> = Readonly<Record<keyof T & string, Schema>>;

/** A closed object: keys not named are refused. */
export function closed(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
  description?: string,
): Schema {
  return {
    type: 'object',
    additionalProperties: false,
    properties,
    ...(required.length > 0 ? { required } : {}),
    ...(description === undefined ? {} : { description }),
  };
}

/** A closed object with the keys of a protobuf message. */
export function message<T>(
  properties: PropertiesOf<T>,
  required: readonly (keyof T & string)[] = [],
  description?: string,
): Schema {
  return closed(properties, required, description);
}

export const text = (description: string, more: Schema = {}): Schema => ({
  type: 'string',
  description,
  ...more,
});
export const flag = (description: string): Schema => ({ type: 'boolean', description });
export const list = (items: Schema, description: string): Schema => ({ type: 'array', items, description });
export const texts = (description: string): Schema => list({ type: 'string' }, description);
export const oneOf = (values: readonly string[], description: string): Schema => ({
  type: 'string',
  enum: values,
  description,
});
export const textMap = (description: string): Schema => ({
  type: 'object',
  additionalProperties: { type: 'string' },
  description,
});

const uint32Max = 0xffff_ffff;

export const uint32 = (description: string, more: Schema = {}): Schema => ({
  type: 'integer',
  minimum: 0,
  maximum: uint32Max,
  description,
  ...more,
});
/** Protobuf's 64-bit numbers, as far as JSON carries them exactly. */
export const uint64 = (description: string): Schema => ({
  type: 'integer',
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description,
});
export const int64 = (description: string): Schema => ({
  type: 'integer',
  minimum: -1,
  maximum: Number.MAX_SAFE_INTEGER,
  description,
});
/** Time of the wall clock. Nanoseconds lose their last digits in JSON, which no filter minds. */
export const unixNanos = (description: string): Schema => ({ type: 'number', minimum: 0, description });
