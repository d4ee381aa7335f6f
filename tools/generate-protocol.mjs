// Generates packages/protocol/src/generated from proto/: one TypeScript file of interfaces, codecs and service
// descriptors per package, and the descriptor set they read at run time. Output is never committed.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const protoDirectory = join(root, 'proto');
const outputDirectory = join(root, 'packages/protocol/src/generated');

const files = readdirSync(protoDirectory, { recursive: true })
  .filter((name) => name.endsWith('.proto'))
  .sort();

const definitions = new protobuf.Root();
definitions.resolvePath = (_origin, target) =>
  target.startsWith('/') ? target : join(protoDirectory, target);
definitions.loadSync(
  files.map((name) => join(protoDirectory, name)),
  { keepCase: false, alternateCommentMode: true },
);
definitions.resolveAll();

const SCALARS = {
  bool: 'boolean',
  string: 'string',
  bytes: 'Uint8Array',
  double: 'number',
  float: 'number',
};
const scalarType = (name) => SCALARS[name] ?? 'number';

/** "gantry.image.v1" → "image". */
const alias = (packageName) => packageName.split('.')[1];
const kebab = (name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
const packageOf = (object) => {
  let scope = object.parent;
  while (scope instanceof protobuf.Type) scope = scope.parent;
  return scope.fullName.slice(1);
};

function doc(object, indent) {
  if (!object.comment) return '';
  const lines = object.comment.split('\n');
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join('')}${indent} */\n`;
}

function typeName(resolved, here) {
  const there = packageOf(resolved);
  return there === here ? resolved.name : `${alias(there)}.${resolved.name}`;
}

function fieldType(field, here) {
  const base = field.resolvedType ? typeName(field.resolvedType, here) : scalarType(field.type);
  if (field.map) return `Record<string, ${base}>`;
  if (field.repeated) return `${base}[]`;
  const absentable =
    field.resolvedType instanceof protobuf.Type || field.partOf || field.options?.proto3_optional;
  return absentable ? `${base} | undefined` : base;
}

function renderMessage(type, here) {
  const fields = type.fieldsArray
    .map((field) => `${doc(field, '  ')}  ${field.name}: ${fieldType(field, here)};\n`)
    .join('');
  const body =
    fields === ''
      ? `export type ${type.name} = Record<string, never>;\n`
      : `export interface ${type.name} {\n${fields}}\n`;
  return `${doc(type, '')}${body}export const ${type.name}Codec: Codec<${type.name}> = codec('${type.fullName.slice(1)}');\n`;
}

function renderEnum(enumeration) {
  const names = Object.keys(enumeration.values).map((name) => `'${name}'`);
  return `${doc(enumeration, '')}export type ${enumeration.name} = ${names.join(' | ')};\n`;
}

function renderService(service, here) {
  const methods = service.methodsArray.map((method) => {
    method.resolve();
    const kind = method.requestStream ? 'duplex' : method.responseStream ? 'server-stream' : 'unary';
    const request = typeName(method.resolvedRequestType, here);
    const response = typeName(method.resolvedResponseType, here);
    return (
      doc(method, '    ') +
      `    ${method.name}: { service: '${kebab(service.name)}', name: '${method.name}', kind: '${kind}', request: ${request}Codec, response: ${response}Codec },\n`
    );
  });
  const types = service.methodsArray.map((method) => {
    const kind = method.requestStream ? 'duplex' : method.responseStream ? 'server-stream' : 'unary';
    return `    ${method.name}: Method<${typeName(method.resolvedRequestType, here)}, ${typeName(method.resolvedResponseType, here)}, '${kind}'>;\n`;
  });
  return (
    `${doc(service, '')}export const ${service.name}: {\n  readonly name: '${kebab(service.name)}';\n  readonly methods: {\n${types.join('')}  };\n} = {\n` +
    `  name: '${kebab(service.name)}',\n  methods: {\n${methods.join('')}  },\n};\n`
  );
}

const packageNameOf = (file) =>
  /^package ([\w.]+);/m.exec(readFileSync(join(protoDirectory, file), 'utf8'))[1];

/** All files of a package become one module. */
function renderPackage(packageName) {
  // Services last: their descriptors name the codecs of every message.
  const isService = (object) => object instanceof protobuf.Service;
  const nested = definitions.lookup(packageName).nestedArray;
  const objects = [...nested.filter((object) => !isService(object)), ...nested.filter(isService)];
  const body = objects
    .map((object) => {
      if (object instanceof protobuf.Enum) return renderEnum(object);
      if (object instanceof protobuf.Type) return renderMessage(object, packageName);
      if (object instanceof protobuf.Service) return renderService(object, packageName);
      throw new Error(`${object.fullName}: only messages, enums and services stand at the top of a file`);
    })
    .join('\n');
  const imports = [
    ...new Set(
      [...body.matchAll(/\b(common|image|network|cgroup|spawn|node|control)\.[A-Z]/g)].map((m) => m[1]),
    ),
  ]
    .filter((name) => name !== alias(packageName))
    .map((name) => `import type * as ${name} from './${name}.js';\n`)
    .join('');
  const codecImports = body.includes('Method<') ? 'Codec, Method' : 'Codec';
  return {
    name: alias(packageName),
    text: `// Generated from proto/${packageName.replaceAll('.', '/')}. Do not edit.\nimport type { ${codecImports} } from '../codec.js';\nimport { codec } from '../codec.js';\n${imports}\n${body}`,
  };
}

/** Writes only what changed, so that incremental builds stay incremental. */
function writeIfChanged(path, text) {
  let current;
  try {
    current = readFileSync(path, 'utf8');
  } catch {
    current = undefined;
  }
  if (current !== text) writeFileSync(path, text);
}

mkdirSync(outputDirectory, { recursive: true });
const descriptor = JSON.stringify(definitions.toJSON({ keepComments: false }));
writeIfChanged(
  join(outputDirectory, 'descriptor.ts'),
  `// Generated from proto/. Do not edit.\nexport const descriptor: string = ${JSON.stringify(descriptor)};\n`,
);
for (const packageName of new Set(files.map(packageNameOf))) {
  const { name, text } = renderPackage(packageName);
  writeIfChanged(join(outputDirectory, `${name}.ts`), text);
}
