import { type Checked, invalid, valid } from './checked.js';

export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** What a process runs as, inside. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, ascending, without duplicates. */
  readonly additionalGids: readonly number[];
  /** For HOME; `/` when /etc/passwd does not know the user. */
  readonly home: string;
}

/** Above the largest signed id, which no kernel file system stores. */
const MAX_ID = 2 ** 31 - 1;

function rows(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

/** /etc/passwd; lines that are not one are passed over, as libc does. */
export function parsePasswd(text: string): readonly PasswdEntry[] {
  return rows(text).flatMap(([name = '', , uidText, gidText, , home = '']) => {
    const uid = parseId(uidText);
    const gid = parseId(gidText);
    return name === '' || uid === undefined || gid === undefined ? [] : [{ name, uid, gid, home }];
  });
}

/** /etc/group. */
export function parseGroup(text: string): readonly GroupEntry[] {
  return rows(text).flatMap(([name = '', , gidText, members = '']) => {
    const gid = parseId(gidText);
    return name === '' || gid === undefined
      ? []
      : [{ name, gid, members: members.split(',').filter((member) => member !== '') }];
  });
}

export interface UserFiles {
  /** Text of /etc/passwd and /etc/group; empty when absent. */
  readonly passwd: string;
  readonly group: string;
}

function findGroup(wish: string, groups: readonly GroupEntry[]): number | undefined {
  return groups.find(({ name }) => name === wish)?.gid ?? parseId(wish);
}

/**
 * `user[:group]`, each a name or a number, as docker reads it: names win over numbers; a number needs no entry;
 * without a group, the user's own from /etc/passwd (0 when unknown) and the groups that list the user.
 */
export function resolveUser(
  wish: string,
  additional: readonly string[],
  files: UserFiles,
): Checked<ResolvedUser> {
  const users = parsePasswd(files.passwd);
  const groups = parseGroup(files.group);
  const [userWish = '', groupWish, ...rest] = (wish === '' ? '0' : wish).split(':');
  if (rest.length > 0 || groupWish === '')
    return invalid(`user ${JSON.stringify(wish)} is not user or user:group`);
  const wantedUser = userWish === '' ? '0' : userWish;
  const number = parseId(wantedUser);
  const entry =
    users.find(({ name }) => name === wantedUser) ??
    (number === undefined ? undefined : users.find(({ uid }) => uid === number));
  const uid = entry?.uid ?? number;
  if (uid === undefined)
    return invalid(`user ${JSON.stringify(wantedUser)} is not in the container's /etc/passwd`);
  let gid = entry?.gid ?? 0;
  const supplementary = new Set<number>();
  if (groupWish === undefined) {
    if (entry !== undefined)
      for (const group of groups) if (group.members.includes(entry.name)) supplementary.add(group.gid);
  } else {
    const wanted = findGroup(groupWish, groups);
    if (wanted === undefined)
      return invalid(`group ${JSON.stringify(groupWish)} is not in the container's /etc/group`);
    gid = wanted;
  }
  for (const name of additional) {
    const extra = findGroup(name, groups);
    if (extra === undefined)
      return invalid(`group ${JSON.stringify(name)} is not in the container's /etc/group`);
    supplementary.add(extra);
  }
  return valid({
    uid,
    gid,
    additionalGids: [...supplementary].sort((a, b) => a - b),
    home: entry === undefined || entry.home === '' ? '/' : entry.home,
  });
}
