import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { defaultSpec, rootlessSpec } from '../default-spec.js';
import { errorCode, failure, messageOf } from '../failure.js';
import type { Call } from '../program.js';

export function spec({ given }: Call): number {
  const file = resolve(given.text('bundle') ?? '.', given.text('file') ?? 'config.json');
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  const written = given.flag('rootless') ? rootlessSpec(uid, gid) : defaultSpec();
  try {
    writeFileSync(file, `${JSON.stringify(written, undefined, 2)}\n`, { flag: 'wx', mode: 0o666 });
  } catch (error) {
    failure(
      errorCode(error) === 'EEXIST'
        ? `File ${file} exists. Remove it first`
        : `cannot write ${file}: ${messageOf(error)}`,
    );
  }
  return 0;
}
