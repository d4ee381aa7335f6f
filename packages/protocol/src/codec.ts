import protobuf from 'protobufjs/light.js';
import { descriptor } from './generated/descriptor.js';

/** Turns one message type into bytes and back. */
export interface Codec<T> {
  /** Absent fields take proto3's zero value. Throws a TypeError when a field has the wrong type. */
  encode(message: Init<T>): Uint8Array;
  /** Every field is present afterwards; absent messages, optionals and oneof members are undefined. */
  decode(bytes: Uint8Array): T;
}

/** The form accepted when sending: every field may be left out, at every depth. */
export type Init<T> = T extends Uint8Array | string | number | boolean | undefined
  ? T
  : T extends readonly (infer U)[]
    ? readonly Init<U>[]
    : { readonly [K in keyof T]?: Init<T[K]> | undefined };

export type MethodKind = 'unary' | 'server-stream' | 'duplex';

/** One rpc of a service. */
export interface Method<Request, Response, Kind extends MethodKind = MethodKind> {
  readonly service: string;
  readonly name: string;
  readonly kind: Kind;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

/** A service as generated from its .proto. */
export interface ServiceDescriptor {
  readonly name: string;
  // Methods differ in their type arguments; only a mapped type can name each (see Handlers in the bus).
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly methods: Readonly<Record<string, Method<any, any>>>;
}

const root = protobuf.Root.fromJSON(JSON.parse(descriptor) as protobuf.INamespace);

type FieldReader = (value: unknown) => unknown;

interface FieldPlan {
  readonly name: string;
  readonly absentable: boolean;
  readonly repeated: boolean;
  readonly map: boolean;
  readonly read: FieldReader;
}

const plans = new Map<protobuf.Type, readonly FieldPlan[]>();

/** 64-bit integers come as Long objects or numbers; everything here fits 53 bits but inode-like values, which survive as exact doubles up to 2^53. */
const readNumber: FieldReader = (value) => Number(value);
const readAsIs: FieldReader = (value) => value;

function readerFor(field: protobuf.Field): FieldReader {
  const resolved = field.resolvedType;
  if (resolved instanceof protobuf.Type)
    return (value) => toPlain(resolved, value as Record<string, unknown>);
  if (resolved instanceof protobuf.Enum) {
    const names = resolved.valuesById;
    const unspecified = names[0] ?? '';
    return (value) => names[value as number] ?? unspecified;
  }
  return /64$/.test(field.type) ? readNumber : readAsIs;
}

function planFor(type: protobuf.Type): readonly FieldPlan[] {
  let plan = plans.get(type);
  if (plan === undefined) {
    plan = type.fieldsArray.map((field) => {
      field.resolve();
      return {
        name: field.name,
        absentable: field.resolvedType instanceof protobuf.Type || field.partOf !== null,
        repeated: field.repeated,
        map: field.map,
        read: readerFor(field),
      };
    });
    plans.set(type, plan);
  }
  return plan;
}

function toPlain(type: protobuf.Type, message: Record<string, unknown>): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const field of planFor(type)) {
    const value = message[field.name];
    if (field.repeated) plain[field.name] = (value as unknown[]).map(field.read);
    else if (field.map) {
      const entries = Object.entries(value as Record<string, unknown>);
      plain[field.name] = Object.fromEntries(entries.map(([key, item]) => [key, field.read(item)]));
    } else if (
      field.absentable &&
      (value === null || value === undefined || !Object.hasOwn(message, field.name))
    )
      plain[field.name] = undefined;
    else plain[field.name] = field.read(value);
  }
  return plain;
}

/** The codec of a message by its full name, for generated code. */
export function codec<T>(fullName: string): Codec<T> {
  let type: protobuf.Type | undefined;
  const lookUp = (): protobuf.Type => (type ??= root.lookupType(fullName));
  return {
    encode(message) {
      const resolved = lookUp();
      return resolved.encode(resolved.fromObject(message as Record<string, unknown>)).finish();
    },
    decode(bytes) {
      const resolved = lookUp();
      return toPlain(resolved, resolved.decode(bytes) as unknown as Record<string, unknown>) as T;
    },
  };
}
