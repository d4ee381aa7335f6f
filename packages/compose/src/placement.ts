import type { Init, control } from '@gantry/protocol';
import type { Field } from './field.js';

const plainKeys = ['node.id', 'node.hostname', 'node.role', 'node.platform.os', 'node.platform.arch'];
const keyPattern = /^node\.labels\.[A-Za-z0-9](?:[\w./-]*[A-Za-z0-9])?$/;
const known = 'node.id, node.hostname, node.role, node.platform.os, node.platform.arch and node.labels.NAME';

/** docker's words for what Gantry calls otherwise. */
const roles: Readonly<Record<string, string>> = { manager: 'control', control: 'control', worker: 'worker' };
const architectures: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64' };

type Constraint = Init<control.Constraint> & {
  readonly key: string;
  readonly operator: string;
  readonly value: string;
};

/** "node.labels.zone == eu", taken apart. */
export function readConstraints(field: Field): readonly Constraint[] {
  const wanted = new Map<string, Constraint>();
  const unwanted = new Set<string>();
  return field.items().flatMap((item) => {
    const constraint = readConstraint(item);
    if (constraint === undefined) return [];
    const { key, operator, value } = constraint;
    const other = wanted.get(key);
    if (other !== undefined && (operator === '==') !== (other.value === value))
      item.refuse(`can never hold: the constraints also ask for ${key} == ${other.value}`);
    else if (operator === '==' && unwanted.has(`${key} ${value}`))
      item.refuse(`can never hold: the constraints also ask for ${key} != ${value}`);
    if (operator === '==') wanted.set(key, constraint);
    else unwanted.add(`${key} ${value}`);
    return [constraint];
  });
}

function readConstraint(item: Field): Constraint | undefined {
  const text = item.string();
  if (text === undefined) return undefined;
  const refuse = (why: string): undefined => item.refuse(`is ${JSON.stringify(text)}, ${why}`);
  const match = /^\s*([^\s=!<>~]+)\s*(==|!=)\s*(.*?)\s*$/.exec(text);
  const [, written = '', operator = '', value = ''] = match ?? [];
  if (match === null || value === '' || /^[=!<>]/.test(value))
    return refuse('not of the form KEY==VALUE or KEY!=VALUE');
  const key = normalKey(written);
  if (key === undefined) return refuse(`whose key is not done; ${known} are`);
  if (key === 'node.role') {
    const role = roles[value.toLowerCase()];
    return role === undefined
      ? refuse('whose role no node has; control (or manager) and worker are roles')
      : { key, operator, value: role };
  }
  if (key === 'node.platform.arch') return { key, operator, value: architectures[value] ?? value };
  return { key, operator, value };
}

/** Swarm takes the words before the label's name in any case. */
function normalKey(written: string): string | undefined {
  const lower = written.toLowerCase();
  if (plainKeys.includes(lower)) return lower;
  if (!lower.startsWith('node.labels.')) return undefined;
  const key = `node.labels.${written.slice('node.labels.'.length)}`;
  return keyPattern.test(key) ? key : undefined;
}

/** `preferences: [{ spread: node.labels.zone }]`. */
export function readSpread(field: Field): readonly string[] {
  return field.items().flatMap((item) => {
    item.entries();
    const spread = item.get('spread');
    if (spread === undefined) {
      if (item.isMapping) item.refuse('has no spread');
      return [];
    }
    const text = spread.string();
    if (text === undefined) return [];
    return (
      normalKey(text) ??
      spread.refuse(`is ${JSON.stringify(text)}, whose key is not done; ${known} are`) ??
      []
    );
  });
}
