// Keeps proto/ compatible on the wire with proto/snapshot.json: a number never changes its meaning and is never used
// again. Removing a field is allowed when its number is reserved.
//   node tools/check-wire.mjs            says what is broken, and whether the snapshot is behind
//   node tools/check-wire.mjs --update   takes compatible changes into the snapshot
//   node tools/check-wire.mjs --reset    takes all as it is: only while nobody runs a release that speaks the old form
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const protoDirectory = fileURLToPath(new URL('../proto', import.meta.url));
const snapshotPath = join(protoDirectory, 'snapshot.json');

/** Parses .proto texts by name, imports among them included, into the form that is compared. */
export function describeProtos(sources) {
  const root = new protobuf.Root();
  for (const [name, text] of Object.entries(sources)) {
    protobuf.parse.filename = name;
    protobuf.parse(text, root, { keepCase: true });
  }
  root.resolveAll();
  const described = { messages: {}, enums: {}, services: {} };
  visit(root, described);
  return described;
}

function visit(object, described) {
  const name = object.fullName.slice(1);
  if (object instanceof protobuf.Type) {
    described.messages[name] = {
      fields: Object.fromEntries(
        object.fieldsArray.map((field) => [field.id, `${fieldKind(field)} ${field.name}`]),
      ),
      reserved: (object.reserved ?? []).map(String),
    };
  } else if (object instanceof protobuf.Enum) {
    described.enums[name] = {
      values: Object.fromEntries(Object.entries(object.valuesById)),
      reserved: (object.reserved ?? []).map(String),
    };
  } else if (object instanceof protobuf.Service) {
    described.services[name] = Object.fromEntries(
      object.methodsArray.map((method) => [method.name, methodKind(method)]),
    );
  }
  for (const nested of object.nestedArray ?? []) visit(nested, described);
}

/** "repeated gantry.common.v1.KeyValue"; two fields with one kind are the same on the wire. */
function fieldKind(field) {
  const type = field.resolvedType === null ? field.type : field.resolvedType.fullName.slice(1);
  if (field.map) return `map<${field.keyType}, ${type}>`;
  const oneof = field.partOf && !field.options?.proto3_optional ? `oneof ${field.partOf.name} ` : '';
  const label = field.repeated ? 'repeated ' : field.options?.proto3_optional ? 'optional ' : oneof;
  return `${label}${type}`;
}

function methodKind(method) {
  const request = `${method.requestStream ? 'stream ' : ''}${method.resolvedRequestType.fullName.slice(1)}`;
  const response = `${method.responseStream ? 'stream ' : ''}${method.resolvedResponseType.fullName.slice(1)}`;
  return `${request} -> ${response}`;
}

/** A reserved range as protobufjs writes it: "5,7", or a name. */
function isReserved(number, reserved) {
  return reserved.some((text) => {
    const [first, last] = text.split(',').map(Number);
    return number >= first && number <= (last ?? first);
  });
}

/** What breaks old readers or writers, one sentence each. */
export function findBreaks(before, now) {
  const breaks = [];
  for (const [name, old] of Object.entries(before.messages)) {
    const current = now.messages[name];
    if (current === undefined) breaks.push(`message ${name} is gone`);
    else
      breaks.push(
        ...numberBreaks(`message ${name}`, old.fields, current.fields, old.reserved, current.reserved),
      );
  }
  for (const [name, old] of Object.entries(before.enums)) {
    const current = now.enums[name];
    if (current === undefined) breaks.push(`enum ${name} is gone`);
    else
      breaks.push(
        ...numberBreaks(`enum ${name}`, old.values, current.values, old.reserved, current.reserved),
      );
  }
  for (const [name, old] of Object.entries(before.services)) {
    for (const [method, kind] of Object.entries(old)) {
      const current = now.services[name]?.[method];
      if (current === undefined) breaks.push(`method ${name}.${method} is gone`);
      else if (current !== kind)
        breaks.push(`method ${name}.${method} was "${kind}" and is now "${current}"`);
    }
  }
  return breaks;
}

function numberBreaks(owner, before, now, reservedBefore, reservedNow) {
  const breaks = [];
  for (const [number, meaning] of Object.entries(before)) {
    const current = now[number];
    if (current === undefined && !isReserved(Number(number), reservedNow))
      breaks.push(`${owner}: number ${number} ("${meaning}") is gone without being reserved`);
    if (current !== undefined && current !== meaning)
      breaks.push(`${owner}: number ${number} was "${meaning}" and is now "${current}"`);
  }
  for (const [number, meaning] of Object.entries(now))
    if (before[number] === undefined && isReserved(Number(number), reservedBefore))
      breaks.push(`${owner}: number ${number} was reserved and is now "${meaning}"`);
  return breaks;
}

/** proto/ as it is now. */
export function describeCurrent() {
  const names = readdirSync(protoDirectory, { recursive: true })
    .filter((name) => name.endsWith('.proto'))
    .sort();
  return describeProtos(
    Object.fromEntries(names.map((name) => [name, readFileSync(join(protoDirectory, name), 'utf8')])),
  );
}

/** The committed snapshot. */
export function readSnapshot() {
  return existsSync(snapshotPath)
    ? JSON.parse(readFileSync(snapshotPath, 'utf8'))
    : { messages: {}, enums: {}, services: {} };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const current = describeCurrent();
  const breaks = findBreaks(readSnapshot(), current);
  const isBehind = JSON.stringify(readSnapshot()) !== JSON.stringify(current);
  const isReset = process.argv.includes('--reset');
  for (const sentence of breaks) console.error(sentence);
  if (breaks.length > 0 && !isReset) process.exitCode = 1;
  else if (isReset || process.argv.includes('--update'))
    writeFileSync(snapshotPath, `${JSON.stringify(current, null, 2)}\n`);
  else if (isBehind) {
    console.error('proto/snapshot.json is behind: run node tools/check-wire.mjs --update');
    process.exitCode = 1;
  }
}
