import { chmod, chown, readFile, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { GantryError } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';

/** sun_path of unix(7) holds 108 bytes with the final zero. */
const longestSocketPath = 107;

/**
 * Listens on a unix socket that only root and the group can use. The socket of a dead predecessor is replaced
 * atomically; one that somebody answers on is refused with `already_exists`.
 */
export async function listenOnSocket(app: FastifyInstance, path: string, group: string): Promise<void> {
  // Its access rights are in force before anybody can find it under its name.
  const unready = `${path}.${process.pid}`;
  if (Buffer.byteLength(unready) > longestSocketPath)
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'start',
      object: path,
      message: `the path of the api socket ${path} is longer than a socket's may be; choose a shorter run_dir`,
    });
  if (await somebodyAnswers(path))
    throw new GantryError({
      code: 'already_exists',
      operation: 'start',
      object: path,
      message: `another api already listens on ${path}`,
    });
  await rm(unready, { force: true });
  await app.listen({ path: unready });
  const groupId = await findGroup(group);
  if (groupId !== undefined) await chown(unready, 0, groupId);
  await chmod(unready, 0o660);
  await rename(unready, path);
}

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    const answer = (found: boolean): void => {
      probe.destroy();
      resolve(found);
    };
    probe.once('connect', () => answer(true)).once('error', () => answer(false));
  });
}

/** Id of a group of this machine. Undefined when there is none, or when this process could not give files to it. */
async function findGroup(name: string): Promise<number | undefined> {
  if (process.getuid?.() !== 0 || name === '') return undefined;
  const lines = (await readFile('/etc/group', 'utf8').catch(() => '')).split('\n');
  const fields = lines.map((line) => line.split(':')).find(([entry]) => entry === name);
  return fields?.[2] === undefined ? undefined : Number(fields[2]);
}
