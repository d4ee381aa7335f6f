import { ApiFailure, ExitWith } from '../failures.js';
import { complain, print } from './print.js';

/** One document as JSON, or as a template shows it. */
export async function printDocument(document: unknown, format: string | undefined): Promise<void> {
  if (format === undefined || format === 'json')
    print(JSON.stringify(document, null, format === 'json' ? 0 : 4));
  else print((await import('./template.js')).compileTemplate(format)(document));
}

/** Documents of all the names, as a list or each by the template; says which of them are not there, and fails then. */
export async function printDocuments(
  verb: string,
  names: readonly string[],
  format: string | undefined,
  find: (name: string) => Promise<unknown>,
): Promise<void> {
  const template =
    format === undefined || format === 'json'
      ? undefined
      : (await import('./template.js')).compileTemplate(format);
  const found: unknown[] = [];
  let failed = false;
  for (const name of names) {
    try {
      found.push(await find(name));
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.code === 'unavailable') throw error;
      failed = true;
      complain(`gantry ${verb}: ${error.message}`);
    }
  }
  if (template !== undefined) for (const one of found) print(template(one));
  else print(JSON.stringify(found, null, format === 'json' ? 0 : 4));
  if (failed) throw new ExitWith(1);
}
