import { bad, good, type Parsed } from './values.js';

const hostPart = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const host = new RegExp(`^(?:${hostPart}(?:\\.${hostPart})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);
const pathPart = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const path = new RegExp(`^${pathPart}(?:/${pathPart})*$`);

/** [HOST[:PORT]/]PATH[:TAG][@DIGEST], as docker reads it (distribution/reference). */
export function parseImage(text: string): Parsed<string> {
  const match = /^([^@]+?)(?::([^/:@]*))?(?:@(.*))?$/.exec(text.length > 512 ? '' : text);
  const refuse = (why: string): Parsed<string> =>
    bad(`is ${JSON.stringify(text.slice(0, 80))}, not the name of an image: ${why}`);
  if (match === null) return refuse(text === '' ? 'it is empty' : 'it is no name');
  const [, name = '', tag, digest] = match;
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest))
    return refuse('what follows the @ is not a sha256 digest');
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag))
    return refuse('its tag may only hold letters, digits, ".", "_" and "-", at most 128');
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || /[A-Z]/.test(first));
  if (hasHost && !host.test(first)) return refuse(`${JSON.stringify(first)} is not a registry's host name`);
  const repository = hasHost ? name.slice(slash + 1) : name;
  if (/[A-Z]/.test(repository)) return refuse('the repository must be lower-case');
  return path.test(repository)
    ? good(text)
    : refuse(
        'the repository may only hold lower-case letters and digits, separated by "/", ".", "_" and "-"',
      );
}
