// gantry.yaml as it is installed: every key with what it means and its default, all of it commented out.
import { listSettings, nodeConfigSchema } from '../../packages/gantryd/dist/config-schema.js';

const width = 118;

export function exampleConfig() {
  const lines = [
    '# Gantry: configuration of this node. Flags and environment of gantryd beat this file; see gantryd(8).',
    '# What is commented out with one # is a default. A key that is not known is an error.',
  ];
  let section = '';
  for (const { path, schema } of listSettings(nodeConfigSchema)) {
    const own = path.length > 1 ? path[0] : '';
    if (own !== section) lines.push('', `#${own}:`);
    else if (own === '') lines.push('');
    section = own;
    const indent = own === '' ? '' : '  ';
    lines.push(...wrap(schema.description ?? '', `#${indent}# `.replace(/^## /, '# ')));
    lines.push(`#${indent}${path.at(-1)}: ${JSON.stringify(schema.default ?? '')}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Lines of a comment. */
function wrap(text, prefix) {
  const lines = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    if (line !== '' && prefix.length + line.length + word.length >= width) {
      lines.push(prefix + line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return text === '' ? [] : [...lines, prefix + line];
}
